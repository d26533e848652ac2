from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE, until

from tsujiban.controller.leadership import LEASE, Elector, FencedStore, LeadershipLost, Timing
from tsujiban.store.protocol import Conflict, Key, NotFound, Operation, Stored, StoreUnavailable
from tsujiban.store.sqlite import SqliteStore
from tsujiban.store.wrapper import StoreWrapper

pytestmark = pytest.mark.anyio

# Seconds of the tests' own clock; but a renewal is tried for what is left of them, by the machine's.
QUICK = Timing(duration=1000, give_up=700, renew=0.001)
PODS = [Key("", "pods", "d", name) for name in "abc"]
VALUE = b'{"metadata":{"name":"x"}}'


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Watched(StoreWrapper):
    """Answers, or not, and counts what it is asked."""

    away = False
    looks = 0
    writes = 0
    hold: asyncio.Event | None = None  # what is written is written, but nobody hears of it before

    async def get(self, key: Key) -> Stored:
        self.looks += 1
        if self.away:
            raise StoreUnavailable("away")
        return await super().get(key)

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        self.writes += 1
        if self.away:
            raise StoreUnavailable("away")
        done = await super().transaction(operations)
        if self.hold is not None:
            self.hold.set()
            await asyncio.Event().wait()
        return done

    async def looked_at(self, times: int, given_up: Callable[[], bool] = lambda: False) -> None:
        """Wait until it has been read so often again."""
        end = self.looks + times
        await until(lambda: self.looks >= end or given_up())

    async def written(self, times: int) -> None:
        """Wait until it has been written to so often again."""
        end = self.writes + times
        await until(lambda: self.writes >= end)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Watched]:
    found = await SqliteStore.open(tmp_path / "state" / "store.db")
    yield Watched(found)
    await found.close()


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def tries(elector: Elector, store: Watched) -> bool:
    """Whether it leads after having looked twice."""
    acquiring = asyncio.create_task(elector.acquire())
    await store.looked_at(5, acquiring.done)  # each time at two objects
    if acquiring.done():
        return True
    await ended(acquiring)
    return False


async def test_the_first_leads_and_the_second_waits_until_the_lease_is_old(store: Watched) -> None:
    clock = Clock()
    first, second = Elector(store, "one", QUICK, clock), Elector(store, "two", QUICK, clock)
    assert await tries(first, store)
    assert first.leads
    assert not await tries(second, store)
    assert second.holder == "one"
    clock.now += 999
    assert not await tries(second, store)
    clock.now += 2
    assert await tries(second, store)
    spec = json.loads((await store.get(LEASE)).value)["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("two", 1)


async def test_a_renewed_lease_stays(store: Watched) -> None:
    clock = Clock()
    first, second = Elector(store, "one", QUICK, clock), Elector(store, "two", QUICK, clock)
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    for _ in range(5):
        clock.now += 600
        await store.written(2)  # the second of which has begun now
        assert first.leads
        assert not await tries(second, store)
    await ended(holding)


async def test_a_leader_that_slept_writes_nothing(store: Watched) -> None:
    """Its own clock says that it still leads: the store alone must keep it out."""
    clock, stopped = Clock(), Clock()
    first, second = Elector(store, "one", QUICK, stopped), Elector(store, "two", QUICK, clock)
    await first.acquire()
    fenced = FencedStore(store, first)
    made = await fenced.create(PODS[0], VALUE)
    assert not await tries(second, store)
    clock.now += 1100
    assert await tries(second, store)
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


async def test_who_never_led_writes_nothing(store: Watched) -> None:
    with pytest.raises(LeadershipLost):
        await FencedStore(store, Elector(store, "one")).create(PODS[0], VALUE)
    with pytest.raises(NotFound):
        await store.get(PODS[0])


async def test_races_of_the_leader_with_others_stay_what_they_are(store: Watched) -> None:
    elector = Elector(store, "one", QUICK)
    await elector.acquire()
    fenced = FencedStore(store, elector)
    made = await fenced.create(PODS[0], VALUE)
    with pytest.raises(Conflict):
        await fenced.update(PODS[0], VALUE, made.revision + 7)
    with pytest.raises(NotFound):
        await fenced.delete(PODS[1])


async def test_a_leader_without_a_store_gives_up_before_another_may_lead(store: Watched) -> None:
    clock = Clock()
    elector = Elector(store, "one", QUICK, clock)
    await elector.acquire()
    store.away = True
    holding = asyncio.create_task(elector.hold())
    clock.now += 600
    await store.written(2)
    assert not holding.done()
    clock.now += 110
    with pytest.raises(LeadershipLost, match="in time"):
        await holding
    assert not elector.leads
    waiting = asyncio.create_task(Elector(store, "two", QUICK, clock).acquire())
    await store.looked_at(2)
    assert not waiting.done()
    clock.now += 2000
    store.away = False
    await store.looked_at(4)  # it knows since when the lease is as old as that
    assert not waiting.done()
    clock.now += 2000
    async with asyncio.timeout(PATIENCE):
        await waiting


async def test_given_back_it_is_taken_at_once(store: Watched) -> None:
    first, second = Elector(store, "one", QUICK), Elector(store, "two", QUICK)
    await first.acquire()
    await first.release()
    assert not first.leads
    assert await tries(second, store)


@pytest.mark.parametrize("begun", [False, True])
async def test_who_is_told_to_end_while_the_lease_is_written_gives_it_back(
    store: Watched, begun: bool
) -> None:
    first, second = Elector(store, "one", QUICK), Elector(store, "two", QUICK)
    if begun:
        await first.acquire()
    store.hold = asyncio.Event()
    leading = asyncio.create_task(first.hold() if begun else first.acquire())
    await store.hold.wait()
    await ended(leading)
    store.hold = None
    await first.release()
    assert await tries(second, store)


async def test_who_never_asked_gives_nothing_back(store: Watched) -> None:
    first, second = Elector(store, "one", QUICK), Elector(store, "two", QUICK)
    await first.acquire()
    assert not await tries(second, store)
    await second.release()
    assert first.leads
    assert not await tries(second, store)


async def test_a_renewal_whose_answer_was_lost_is_no_loss(store: Watched) -> None:
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
    await ended(holding)
