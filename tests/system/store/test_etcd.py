"""The engine on etcd: the suite of all engines on a real member, over TLS."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.support.etcdbed import EtcdBed, single
from tests.support.storesuite import KIND, ObjectSuite, TransactionSuite, key, names, put, take, value
from tests.support.wait import PATIENCE, until

from tsujiban.controller.serviceclaims import GROUP, RESOURCE, ServiceClaims, Taken, repair
from tsujiban.store.config import connect
from tsujiban.store.etcd import client, engine, fence
from tsujiban.store.etcd.engine import EtcdStore
from tsujiban.store.protocol import Compacted, Create, InvalidTransaction, Key, Store

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture(scope="module")
def bed() -> Iterator[EtcdBed]:
    with single() as running:
        yield running


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that stands still for seconds, as on a busy machine, is waited for. An update that others have
    overtaken meanwhile would not be known to have failed, and what is not there in time is given up."""
    for module, limits in (
        (client, ("ATTEMPT_SECONDS", "CALL_SECONDS")),
        (engine, ("CALL_SECONDS", "WRITE_SECONDS")),
        (fence, ("WRITE_SECONDS",)),
    ):
        for name in limits:
            monkeypatch.setattr(module, name, PATIENCE)


@pytest.fixture
def cluster() -> str:
    """A part of etcd that nobody else uses."""
    return uuid.uuid4().hex[:12]


@pytest.fixture
async def store(bed: EtcdBed, cluster: str) -> AsyncIterator[Store]:
    engine = await EtcdStore.open(connect(bed.config), cluster)
    yield engine
    await engine.close()


class TestSuite(ObjectSuite, TransactionSuite):
    """All that an engine can promise."""


async def test_what_happened_before_it_was_opened_is_replayed(bed: EtcdBed, cluster: str) -> None:
    first = await EtcdStore.open(connect(bed.config), cluster)
    start = await first.revision()
    for number in range(300):
        pair = (key(f"n{number}"), key(f"n{number}", "default", "secrets"))
        await first.transaction([Create(one, value(one)) for one in pair])
    await first.delete(key("n7"))
    await first.close()
    second = await EtcdStore.open(connect(bed.config), cluster)
    events = await take(second, start, 301, *KIND)
    assert names(events) == [*(f"ADDED n{number}" for number in range(300)), "DELETED n7"]
    middle = events[150].revision  # within a transaction
    assert names(await take(second, middle, 150, *KIND)) == names(events[151:])
    await second.compact(await second.revision())
    with pytest.raises(Compacted):
        await second.watch(middle, *KIND)
    await second.close()


async def test_the_past_is_had_from_a_member_that_stood_still(
    bed: EtcdBed, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.1)
    first = await EtcdStore.open(connect(bed.config), cluster)
    start = await first.revision()
    await put(first, "a")
    await first.close()
    asked = connect(bed.config)
    second = await EtcdStore.open(asked, cluster)
    watch = await second.watch(start, *KIND)
    os.kill(bed.pid(0), signal.SIGSTOP)
    try:
        replayed = asyncio.create_task(watch.next())
        await until(lambda: "no answer in time" in asked._why)
    finally:
        os.kill(bed.pid(0), signal.SIGCONT)
    assert names(await replayed) == ["ADDED a"]
    await second.close()


class Held:
    """An engine whose first write of an object stays with a member that gives no answer."""

    def __init__(self, asked: client.EtcdClient, monkeypatch: pytest.MonkeyPatch, *, hangs: bool) -> None:
        self.requests: list[Any] = []
        self.write = asked.write
        self._hangs = hangs
        monkeypatch.setattr(asked, "write", self._hold)

    async def _hold(self, request: Any, seconds: float) -> Any:
        if self.requests or not request.compare:
            return await self.write(request, seconds)
        self.requests.append(request)
        if self._hangs:
            await asyncio.Event().wait()
        raise client.Unsure("no answer in time")


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_write_that_was_given_up_is_not_done_when_its_member_is_well_again(
    bed: EtcdBed, cluster: str, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    """What was made a second time, and then removed, would be back."""
    asked = connect(bed.config)
    mine = await EtcdStore.open(asked, cluster)
    other = await EtcdStore.open(connect(bed.config), cluster)
    held = Held(asked, monkeypatch, hangs=hangs)
    made = asyncio.create_task(put(mine, "a"))
    await until(lambda: bool(held.requests))
    if hangs:  # whoever asked has not waited for an answer
        made.cancel()
        with pytest.raises(asyncio.CancelledError):
            await made
        await put(mine, "a")
    else:
        await made
    await mine.delete(key("a"))
    assert not (await held.write(held.requests[0], PATIENCE)).succeeded
    await put(other, "b")  # which knows nothing of it
    await put(mine, "c")
    assert [item.key.name for item in (await other.list(*KIND)).items] == ["b", "c"]
    await mine.close()
    await other.close()


async def test_two_clusters_do_not_see_each_other(bed: EtcdBed, cluster: str, store: Store) -> None:
    other = await EtcdStore.open(connect(bed.config), f"{cluster}-b")
    await put(store, "a")
    await put(other, "b")
    assert [item.key.name for item in (await other.list(*KIND)).items] == ["b"]
    assert [item.key.name for item in (await store.list(*KIND)).items] == ["a"]
    await other.close()


async def test_a_set_that_etcd_does_not_take_is_refused_whole(store: Store) -> None:
    keys = [key(f"n{number}") for number in range(200)]
    with pytest.raises(InvalidTransaction, match="--max-txn-ops"):
        await store.transaction([Create(one, value(one)) for one in keys])
    big = [key(f"b{number}") for number in range(3)]
    with pytest.raises(InvalidTransaction, match="--max-request-bytes"):
        await store.transaction([Create(one, value(one, "y" * 1_000_000)) for one in big])
    assert (await store.list(*KIND)).items == ()


async def test_two_engines_write_one_object(bed: EtcdBed, cluster: str, store: Store) -> None:
    other = await EtcdStore.open(connect(bed.config), cluster)
    watch = await other.watch(await other.revision(), *KIND)
    made = await store.create(key("a"), value(key("a"), 0))
    for number in range(10):
        engine = (store, other)[number % 2]
        made = await engine.update(key("a"), value(key("a"), number + 1), made.revision)
    seen = 0
    while seen < 11:
        seen += len(await watch.next(PATIENCE))
    assert seen == 11
    await other.close()


async def test_an_address_is_one_services_whichever_controller_gives_it(
    bed: EtcdBed, cluster: str, store: Store
) -> None:
    other = await EtcdStore.open(connect(bed.config), cluster)
    controllers = [ServiceClaims(store), ServiceClaims(other)]

    async def ask(number: int) -> str:
        at = Key("", "services", "default", f"s{number}")
        asked = {"metadata": {"name": at.name}, "spec": {"clusterIP": "10.96.0.20"}}
        try:
            await controllers[number % 2].create(at, json.dumps(asked).encode())
        except Taken:
            return ""
        return at.name

    for _ in range(2):  # again when who has it is gone
        (name,) = filter(None, await asyncio.gather(*(ask(number) for number in range(8))))
        assert await repair(controllers[0]) == []
        await controllers[0].delete(Key("", "services", "default", name))
    await repair(controllers[1])
    assert (await store.list(GROUP, RESOURCE)).items == ()
    await other.close()
