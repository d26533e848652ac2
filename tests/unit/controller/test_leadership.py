from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE

from tsujiban.controller.leadership import LEASE, Elector, FencedStore, LeadershipLost, Timing
from tsujiban.store.protocol import Conflict, Key, NotFound, Operation, Store, Stored, StoreUnavailable
from tsujiban.store.sqlite import SqliteStore
from tsujiban.store.wrapper import StoreWrapper

pytestmark = pytest.mark.anyio

QUICK = Timing(duration=10, give_up=7, renew=0.001)
PODS = [Key("", "pods", "d", name) for name in "abc"]
VALUE = b'{"metadata":{"name":"x"}}'


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Flaky(StoreWrapper):
    """Answers, or not."""

    away = False

    async def get(self, key: Key) -> Stored:
        if self.away:
            raise StoreUnavailable("away")
        return await super().get(key)

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        if self.away:
            raise StoreUnavailable("away")
        return await super().transaction(operations)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    found = await SqliteStore.open(tmp_path / "state" / "store.db")
    yield found
    await found.close()


async def tries(elector: Elector) -> bool:
    """Whether it leads after having looked twice."""
    try:
        async with asyncio.timeout(0.1):
            await elector.acquire()
    except TimeoutError:
        return False
    return True


async def test_the_first_leads_and_the_second_waits_until_the_lease_is_old(store: Store) -> None:
    clock = Clock()
    first, second = Elector(store, "one", QUICK, clock), Elector(store, "two", QUICK, clock)
    assert await tries(first)
    assert first.leads
    assert not await tries(second)
    assert second.holder == "one"
    clock.now += 9.9
    assert not await tries(second)
    clock.now += 0.2
    assert await tries(second)
    spec = json.loads((await store.get(LEASE)).value)["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("two", 1)


async def test_a_renewed_lease_stays(store: Store) -> None:
    clock = Clock()
    first, second = Elector(store, "one", QUICK, clock), Elector(store, "two", QUICK, clock)
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    for _ in range(5):
        clock.now += 6
        await asyncio.sleep(0.05)
        assert first.leads
        assert not await tries(second)
    holding.cancel()


async def test_a_leader_that_slept_writes_nothing(store: Store) -> None:
    """Its own clock says that it still leads: the store alone must keep it out."""
    clock, stopped = Clock(), Clock()
    first, second = Elector(store, "one", QUICK, stopped), Elector(store, "two", QUICK, clock)
    await first.acquire()
    fenced = FencedStore(store, first)
    made = await fenced.create(PODS[0], VALUE)
    assert not await tries(second)
    clock.now += 11
    assert await tries(second)
    assert first.leads
    for write in (
        fenced.create(PODS[1], VALUE),
        fenced.update(PODS[0], VALUE, made.revision),
        fenced.delete(PODS[0]),
    ):
        with pytest.raises(LeadershipLost):
            await write
    assert await store.get(PODS[0]) == made
    await FencedStore(store, second).create(PODS[2], VALUE)
    with pytest.raises(LeadershipLost, match="another controller"):
        await first.hold()


async def test_who_never_led_writes_nothing(store: Store) -> None:
    with pytest.raises(LeadershipLost):
        await FencedStore(store, Elector(store, "one")).create(PODS[0], VALUE)
    with pytest.raises(NotFound):
        await store.get(PODS[0])


async def test_races_of_the_leader_with_others_stay_what_they_are(store: Store) -> None:
    elector = Elector(store, "one", QUICK)
    await elector.acquire()
    fenced = FencedStore(store, elector)
    made = await fenced.create(PODS[0], VALUE)
    with pytest.raises(Conflict):
        await fenced.update(PODS[0], VALUE, made.revision + 7)
    with pytest.raises(NotFound):
        await fenced.delete(PODS[1])


async def test_a_leader_without_a_store_gives_up_before_another_may_lead(store: Store) -> None:
    clock, flaky = Clock(), Flaky(store)
    elector = Elector(flaky, "one", QUICK, clock)
    await elector.acquire()
    flaky.away = True
    holding = asyncio.create_task(elector.hold())
    clock.now += 6
    await asyncio.sleep(0.02)
    assert not holding.done()
    clock.now += 1.1
    with pytest.raises(LeadershipLost, match="in time"):
        await holding
    assert not elector.leads
    waiting = asyncio.create_task(Elector(flaky, "two", QUICK, clock).acquire())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    clock.now += 20
    flaky.away = False
    await asyncio.sleep(0.05)
    clock.now += 20
    async with asyncio.timeout(PATIENCE):
        await waiting


async def test_given_back_it_is_taken_at_once(store: Store) -> None:
    first, second = Elector(store, "one", QUICK), Elector(store, "two", QUICK)
    await first.acquire()
    await first.release()
    assert not first.leads
    assert await tries(second)


async def test_a_renewal_whose_answer_was_lost_is_no_loss(store: Store) -> None:
    elector = Elector(store, "one", QUICK)
    await elector.acquire()
    lease = await store.get(LEASE)
    touched = json.loads(lease.value)
    touched["spec"]["renewTime"] = "later"
    await store.update(LEASE, json.dumps(touched).encode(), lease.revision)
    holding = asyncio.create_task(elector.hold())
    while json.loads((await store.get(LEASE)).value)["spec"]["renewTime"] == "later":
        assert not holding.done()
        await asyncio.sleep(0.001)
    holding.cancel()
