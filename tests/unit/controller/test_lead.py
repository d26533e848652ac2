from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.nodestream import hello
from tests.support.wait import PATIENCE, until

from tsujiban.controller import lead as module
from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.lead import LEADS, Lead, end_of_lead
from tsujiban.controller.leadership import LEASE, TERM, LeadershipLost, Timing
from tsujiban.store.config import EtcdConfig
from tsujiban.store.protocol import Key, Store
from tsujiban.store.sqlite import SqliteStore
from tsujiban.wire.messages import Hello, ToNode
from tsujiban.wire.transport import StreamRefused

pytestmark = pytest.mark.anyio

LEASE_SECONDS = 1000.0  # longer than any machine stands still
VALUE = b'{"metadata":{"name":"x"}}'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Stands for one that several share: Lead looks at the configuration only."""
    found = await SqliteStore.open(tmp_path / "state" / "store.db")
    yield found
    await found.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """They look at the lease often, however long it is."""
    monkeypatch.setattr(module, "Timing", lambda **fields: Timing(**{**fields, "renew": 0.01}))


def lead(store: Store, *, alone: bool = False) -> Lead:
    if alone:
        return Lead(ControllerConfig(cluster="c", state_dir="/nowhere"), store)
    config = ControllerConfig(
        cluster="c",
        state_dir="/nowhere",
        store=EtcdConfig(endpoints=("https://h",)),
        lease_seconds=LEASE_SECONDS,
    )
    return Lead(config, store)


async def never() -> None:
    await asyncio.Event().wait()


async def anything(_node: str, _message: object) -> bool:
    return True


async def test_alone_it_leads_without_asking(store: Store) -> None:
    one = lead(store, alone=True)
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    await one.run(work)
    assert done.is_set()
    assert not one.elects
    assert one.role() == ""
    assert one.store is store
    assert await one.while_leading(anything)("n", Hello)  # type: ignore[arg-type]  # looks at nothing
    assert await store.revision() == 0


async def test_one_leads_and_the_other_sends_nodes_on(store: Store) -> None:
    one, two = lead(store), lead(store)
    began = asyncio.Event()
    greeted: list[str] = []

    async def work() -> None:
        began.set()
        await never()

    async def on_hello(node: str, _message: Hello) -> None:
        greeted.append(node)

    first = asyncio.create_task(one.run(work))
    await began.wait()
    second = asyncio.create_task(two.run(never))
    await until(lambda: two.role() not in (LEADS, "stands by for a leader"))
    assert two.role().startswith("stands by for ")
    assert one.role() == LEADS
    await one.only_leader(on_hello)("n1", hello("n1"))
    with pytest.raises(StreamRefused, match="next one"):
        await two.only_leader(on_hello)("n2", hello("n2"))
    assert greeted == ["n1"]
    message: ToNode = None  # type: ignore[assignment]  # looks at nothing
    assert await one.while_leading(anything)("n", message)
    assert not await two.while_leading(anything)("n", message)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await one.end()
    await until(lambda: two.role() == LEADS)
    second.cancel()


async def test_who_lost_the_lead_ends_with_one_clear_error(store: Store) -> None:
    one = lead(store)
    key = Key("", "pods", "d", "a")

    async def work() -> None:
        await one.store.create(key, VALUE)
        await store.delete(LEASE)
        await store.delete(TERM)
        await never()

    with pytest.raises(LeadershipLost, match="starting anew"):
        async with asyncio.timeout(PATIENCE):
            await end_of_lead(one.run(work))


async def test_other_failures_stay_what_they_are() -> None:
    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    async def fail() -> None:
        raise ValueError("something else")

    with pytest.raises(ExceptionGroup):
        await end_of_lead(work())
