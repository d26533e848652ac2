"""Three etcd members, each in its namespace: members die, leaders are cut off, and nothing that was
acknowledged is lost, no watch misses or repeats a change."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from tests.support.etcdbed import EtcdBed, cluster
from tests.support.storesuite import KIND, key, value
from tests.support.wait import PATIENCE, until

from tsujiban.store.config import connect
from tsujiban.store.etcd import client as asking
from tsujiban.store.etcd import engine, fence
from tsujiban.store.etcd.engine import EtcdStore
from tsujiban.store.protocol import Create, Delete, Event, EventType, Key, StoreUnavailable, Watch

pytestmark = [pytest.mark.system, pytest.mark.anyio, pytest.mark.timeout(240)]

WRITERS = 6
More = Callable[[], Awaitable[None]]  # waits until more is written
Trouble = Callable[[EtcdBed, int, More], Awaitable[None]]  # with the number of the leader


@pytest.fixture(scope="module")
def bed() -> Iterator[EtcdBed]:
    with cluster(3) as running:
        yield running


@pytest.fixture
async def stores(bed: EtcdBed) -> AsyncIterator[tuple[EtcdStore, EtcdStore]]:
    """One that writes and one that watches, as two controllers."""
    name = uuid.uuid4().hex[:12]
    pair = await EtcdStore.open(connect(bed.config), name), await EtcdStore.open(connect(bed.config), name)
    yield pair
    for store in pair:
        await store.close()


async def leader_of(bed: EtcdBed) -> int:
    client = connect(bed.config)
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                for member, (_, status) in enumerate(await client.members()):
                    if not isinstance(status, str) and status.leader == status.header.member_id:
                        return member
                await asyncio.sleep(0.1)
    finally:
        client.close()


class Load:
    """Writers that remember what was acknowledged. Each round creates two objects in one transaction, and
    every third round deletes them in another."""

    def __init__(self, store: EtcdStore) -> None:
        self._store = store
        self.stop = asyncio.Event()
        self.revisions: set[int] = set()  # acknowledged
        self.present: set[Key] = set()
        self.absent: set[Key] = set()
        self.open: set[Key] = set()  # nobody knows

    async def write(self, worker: int) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            pair = {key(f"w{worker}-{number}", namespace) for namespace in ("default", "kube-system")}
            try:
                made = await self._store.transaction([Create(one, value(one)) for one in pair])
                self.revisions |= {one.revision for one in made if one}
                self.present |= pair
                if number % 3 == 0:
                    self.open |= pair
                    gone = await self._store.transaction([Delete(one) for one in pair])
                    self.revisions |= {one.revision for one in gone if one}
                    self.open -= pair
                    self.present -= pair
                    self.absent |= pair
            except StoreUnavailable:
                self.open |= pair
                await asyncio.sleep(0.01)

    async def more(self) -> None:
        """Wait for more acknowledged changes than can have been under way, and some."""
        before = len(self.revisions)
        await until(lambda: len(self.revisions) > before + 10 * WRITERS)


class Follower:
    """A watch that believes nothing."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.revisions: list[int] = []
        self.state: set[Key] = set()

    async def until(self, revision: int) -> None:
        while self._watch.revision < revision:
            for event in await self._watch.next(0.2):
                self._see(event)

    def _see(self, event: Event) -> None:
        assert not self.revisions or event.revision > self.revisions[-1], "repeated or out of order"
        self.revisions.append(event.revision)
        if event.type is EventType.ADDED:
            assert event.stored.key not in self.state
            self.state.add(event.stored.key)
        else:
            self.state.remove(event.stored.key)


async def kill_a_follower(bed: EtcdBed, leader: int, more: More) -> None:
    member = (leader + 1) % 3
    bed.kill(member)
    await more()
    bed.start(member)


async def kill_the_leader(bed: EtcdBed, leader: int, more: More) -> None:
    bed.kill(leader)
    await more()
    bed.start(leader)


async def part_the_leader(bed: EtcdBed, leader: int, more: More) -> None:
    """Clients still reach it, its peers do not: for a while it believes that it leads."""
    bed.part(leader, off=True)
    await more()
    bed.part(leader, off=False)


async def cut_the_leader(bed: EtcdBed, leader: int, more: More) -> None:
    bed.cut(leader, off=True)
    await more()
    bed.cut(leader, off=False)


@pytest.mark.parametrize("trouble", [kill_a_follower, kill_the_leader, part_the_leader, cut_the_leader])
async def test_nothing_acknowledged_is_lost_and_watches_go_on(
    bed: EtcdBed, stores: tuple[EtcdStore, EtcdStore], trouble: Trouble
) -> None:
    writing, watching = stores
    load, follower = Load(writing), Follower(await watching.watch(await watching.revision(), *KIND))
    async with asyncio.TaskGroup() as tasks:
        for number in range(WRITERS):
            tasks.create_task(load.write(number))
        await load.more()
        await trouble(bed, await leader_of(bed), load.more)
        await load.more()
        load.stop.set()
    listing = await writing.list(*KIND)
    found = {item.key for item in listing.items}
    async with asyncio.timeout(PATIENCE):
        await follower.until(listing.revision)
    assert not load.present - load.open - found, "acknowledged and lost"
    assert not load.absent & found, "acknowledged and back"
    for one in found:
        other = key(one.name, "default" if one.namespace == "kube-system" else "kube-system")
        assert other in found, f"{one} is half there"
    assert follower.state == found
    assert load.revisions <= set(follower.revisions), "a change was missed"
    await all_well(writing)


async def all_well(store: EtcdStore) -> None:
    async with asyncio.timeout(PATIENCE):
        while not all(part.healthy for part in await store.health()):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.1)  # a member that was away has to be found by its peers again


async def test_without_a_majority_nothing_is_acknowledged(
    bed: EtcdBed, stores: tuple[EtcdStore, EtcdStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, _ = stores
    leader = await leader_of(bed)
    await writing.create(key("before"), value(key("before")))
    others = [member for member in bed.members if member != leader]
    for member in others:
        bed.kill(member)
    with monkeypatch.context() as patch:
        for module, seconds in (
            (asking, "CALL_SECONDS"),
            (engine, "WRITE_SECONDS"),
            (fence, "WRITE_SECONDS"),
        ):
            patch.setattr(module, seconds, 2.0)  # waiting longer shows nothing more
        with pytest.raises(StoreUnavailable):
            await writing.create(key("during"), value(key("during")))
    async with asyncio.timeout(PATIENCE):
        while any(part.healthy for part in await writing.health()):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.1)  # the one that is left has to miss the others first
    for member in others:
        bed.start(member)
    bed.wait()
    await leader_of(bed)
    made = await writing.create(key("after"), value(key("after")))
    assert (await writing.get(key("after"))) == made
    assert (await writing.get(key("before"))).revision < made.revision
