"""What every engine must do (the suite runs on each), and what SQLite does beside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tsujiban.store.protocol import (
    AlreadyExists,
    Check,
    Compacted,
    Conflict,
    Create,
    Delete,
    Event,
    EventType,
    InvalidValue,
    Key,
    NotFound,
    Store,
    StoreUnavailable,
    Update,
)
from tsujiban.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

MakeKey = Callable[..., Key]
MakeValue = Callable[..., bytes]


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    engine = await SqliteStore.open(path)
    yield engine
    await engine.close()


def names(events: list[Event]) -> list[str]:
    return [f"{e.type} {e.stored.key.name}" for e in events]


async def take(store: Store, after: int, count: int, *kind: str) -> list[Event]:
    watch = await store.watch(after, *kind)
    seen: list[Event] = []
    async with asyncio.timeout(10):
        while len(seen) < count:
            seen += await watch.next()
    watch.close()
    return seen


async def test_create_then_get(store: Store, key: MakeKey, value: MakeValue) -> None:
    made = await store.create(key("a"), value(spec={"x": 1}))
    assert await store.get(key("a")) == made
    document = json.loads(made.value)
    assert document["metadata"]["resourceVersion"] == str(made.revision)
    assert document["spec"] == {"x": 1}


async def test_create_twice(store: Store, key: MakeKey, value: MakeValue) -> None:
    await store.create(key("a"), value())
    with pytest.raises(AlreadyExists):
        await store.create(key("a"), value())
    assert await store.revision() == 1


async def test_missing(store: Store, key: MakeKey, value: MakeValue) -> None:
    with pytest.raises(NotFound):
        await store.get(key("a"))
    with pytest.raises(NotFound):
        await store.update(key("a"), value(), None)
    with pytest.raises(NotFound):
        await store.delete(key("a"))


async def test_update_compares_and_swaps(store: Store, key: MakeKey, value: MakeValue) -> None:
    made = await store.create(key("a"), value(spec=1))
    changed = await store.update(key("a"), value(spec=2), made.revision)
    with pytest.raises(Conflict):
        await store.update(key("a"), value(spec=3), made.revision)
    assert await store.get(key("a")) == changed
    assert (await store.update(key("a"), value(spec=4), None)).revision == 3


async def test_an_update_that_changes_nothing_is_not_a_write(
    store: Store, key: MakeKey, value: MakeValue
) -> None:
    made = await store.create(key("a"), value(spec=1))
    assert await store.update(key("a"), value(spec=1), made.revision) == made
    assert await store.revision() == made.revision


async def test_concurrent_updates_of_one_revision_have_one_winner(
    store: Store, key: MakeKey, value: MakeValue
) -> None:
    made = await store.create(key("a"), value())
    results = await asyncio.gather(
        *(store.update(key("a"), value(spec=n), made.revision) for n in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, Conflict) for result in results) == 19


async def test_delete(store: Store, key: MakeKey, value: MakeValue) -> None:
    made = await store.create(key("a"), value())
    with pytest.raises(Conflict):
        await store.delete(key("a"), made.revision + 1)
    with pytest.raises(Conflict):
        await store.delete(key("a"), uid="another")
    gone = await store.delete(key("a"), made.revision, json.loads(made.value)["metadata"]["uid"])
    assert gone.revision == made.revision + 1
    with pytest.raises(NotFound):
        await store.get(key("a"))
    again = await store.create(key("a"), value())
    assert json.loads(again.value)["metadata"]["uid"] != json.loads(made.value)["metadata"]["uid"]


async def test_bad_values_are_refused(store: Store, key: MakeKey, value: MakeValue) -> None:
    with pytest.raises(InvalidValue):
        await store.create(key("a"), b"[]")
    with pytest.raises(InvalidValue):
        await store.create(key("a"), value(x="y" * 1_500_000))
    assert await store.revision() == 0


async def test_list_is_ordered_by_kind_and_namespace(store: Store, key: MakeKey, value: MakeValue) -> None:
    for name, namespace in (("b", "x"), ("a", "y"), ("a", "x")):
        await store.create(key(name, namespace), value())
    await store.create(key("n", "", "nodes"), value())
    await store.create(key("a", "x", group="other"), value())
    listing = await store.list("", "pods")
    assert [str(item.key) for item in listing.items] == ["pods x/a", "pods x/b", "pods y/a"]
    assert listing.revision == 5
    assert [item.key.name for item in (await store.list("", "pods", "y")).items] == ["a"]
    assert (await store.list("", "services")).items == ()


async def test_pages_are_of_one_snapshot(store: Store, key: MakeKey, value: MakeValue) -> None:
    for name in "abcde":
        await store.create(key(name), value(spec=1))
    page = await store.list("", "pods", limit=2)
    assert page.more
    await store.delete(key("c"))
    await store.update(key("d"), value(spec=2), None)
    await store.create(key("cc"), value())
    seen = list(page.items)
    while page.more:
        page = await store.list("", "pods", limit=2, after=seen[-1].key, revision=page.revision)
        seen += page.items
    assert [item.key.name for item in seen] == ["a", "b", "c", "d", "e"]
    assert all(json.loads(item.value)["spec"] == 1 for item in seen)
    with pytest.raises(Compacted):
        await store.list("", "pods", revision=1000)


async def test_transaction_is_all_or_nothing(store: Store, key: MakeKey, value: MakeValue) -> None:
    old = await store.create(key("old"), value(spec=1))
    with pytest.raises(AlreadyExists):
        await store.transaction(
            [
                Create(key("new"), value()),
                Update(key("old"), value(spec=2), old.revision),
                Create(key("old"), value()),
            ]
        )
    assert await store.revision() == 1
    made, changed, checked, gone = await store.transaction(
        [
            Create(key("new"), value()),
            Update(key("old"), value(spec=2), old.revision),
            Check(key("absent"), 0),
            Delete(key("new")),
        ]
    )
    assert made is not None
    assert changed is not None
    assert gone is not None
    assert checked is None
    assert (made.revision, changed.revision, gone.revision) == (2, 3, 4)


async def test_check_guards_what_is_only_read(store: Store, key: MakeKey, value: MakeValue) -> None:
    tier = await store.create(key("tier"), value())
    await store.delete(key("tier"))
    with pytest.raises(Conflict):
        await store.transaction([Check(key("tier"), tier.revision), Create(key("policy"), value())])
    with pytest.raises(NotFound):
        await store.get(key("policy"))


async def test_watch_replays_then_follows(store: Store, key: MakeKey, value: MakeValue) -> None:
    await store.create(key("before"), value())
    await store.create(key("a"), value(spec=1))
    watch = await store.watch(1, "", "pods")
    await store.update(key("a"), value(spec=2), None)
    await store.create(key("n", "", "nodes"), value())
    await store.delete(key("a"))
    seen: list[Event] = []
    async with asyncio.timeout(10):
        async for event in watch:
            seen.append(event)
            if event.type is EventType.DELETED:
                break
    assert names(seen) == ["ADDED a", "MODIFIED a", "DELETED a"]
    assert [event.revision for event in seen] == [2, 3, 5]
    assert seen[0].previous is None
    assert json.loads(seen[1].previous or b"")["spec"] == 1
    assert json.loads(seen[2].stored.value)["metadata"]["resourceVersion"] == "5"


async def test_watch_from_a_list_misses_and_repeats_nothing_under_load(
    store: Store, key: MakeKey, value: MakeValue
) -> None:
    async def write(worker: int) -> None:
        for n in range(60):
            await store.create(key(f"w{worker}-{n}"), value())
            if n % 3 == 0:
                await store.delete(key(f"w{worker}-{n}"))

    async def follow() -> None:
        listing = await store.list("", "pods")
        state = {item.key for item in listing.items}
        watch = await store.watch(listing.revision, "", "pods")
        last = listing.revision
        while last < 4 * 80:
            for event in await watch.next():
                assert event.revision == last + 1
                last = event.revision
                if event.type is EventType.ADDED:
                    assert event.stored.key not in state
                    state.add(event.stored.key)
                else:
                    state.remove(event.stored.key)
        assert state == {item.key for item in (await store.list("", "pods")).items}

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for worker in range(4):
            group.create_task(write(worker))
        for _ in range(5):
            group.create_task(follow())
            await asyncio.sleep(0.01)


async def test_compaction_forgets_the_past_and_keeps_the_present(
    store: Store, key: MakeKey, value: MakeValue
) -> None:
    await store.create(key("kept"), value())
    for n in range(5):
        await store.create(key("a"), value(spec=n))
        await store.delete(key("a"))
    await store.compact(8)
    with pytest.raises(Compacted):
        await store.watch(7)
    with pytest.raises(Compacted):
        await store.list("", "pods", revision=7)
    assert [event.revision for event in await take(store, 8, 3)] == [9, 10, 11]
    assert (await store.get(key("kept"))).revision == 1
    await store.compact(1_000_000)
    assert await store.revision() == 11


async def test_watch_from_the_future_is_refused(store: Store) -> None:
    with pytest.raises(Compacted):
        await store.watch(5)


async def test_after_close_everything_says_so(store: Store, key: MakeKey, value: MakeValue) -> None:
    watch = await store.watch(0)
    waiting = asyncio.create_task(watch.next())
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    for attempt in (store.get(key("a")), store.create(key("a"), value()), store.watch(0), waiting):
        with pytest.raises(StoreUnavailable):
            await attempt


# ---------------------------------------------------------------- SQLite


async def test_everything_is_there_after_reopening(path: Path, key: MakeKey, value: MakeValue) -> None:
    store = await SqliteStore.open(path)
    await store.create(key("a"), value(spec=1))
    changed = await store.update(key("a"), value(spec=2), None)
    await store.create(key("b"), value())
    await store.delete(key("b"))
    await store.compact(3)
    await store.close()
    store = await SqliteStore.open(path)
    assert await store.get(key("a")) == changed
    assert names(await take(store, 3, 1)) == ["DELETED b"]
    assert (await store.create(key("c"), value())).revision == 5
    with pytest.raises(Compacted):
        await store.watch(2)
    await store.close()


async def test_history_behind_the_ring_is_read_from_the_file(
    path: Path, key: MakeKey, value: MakeValue
) -> None:
    store = await SqliteStore.open(path)
    for n in range(300):
        await store.transaction([Create(key(f"p{n}"), value()), Create(key(f"n{n}", "", "nodes"), value())])
    await store.close()
    store = await SqliteStore.open(path)  # the ring is empty now
    events = await take(store, 0, 300, "", "pods")
    assert [event.stored.key.name for event in events] == [f"p{n}" for n in range(300)]
    await store.close()


async def test_it_compacts_by_itself_and_a_slow_watch_is_told(
    path: Path, key: MakeKey, value: MakeValue
) -> None:
    store = await SqliteStore.open(path, kept_revisions=50)
    watch = await store.watch(0)
    big = value(x="y" * 1_000_000)
    for _ in range(40):  # more than the ring holds
        await store.create(key("a"), big)
        await store.delete(key("a"))
    with pytest.raises(Compacted):
        await watch.next()
    await store.close()


async def test_the_file_is_private(path: Path) -> None:
    store = await SqliteStore.open(path)
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert path.parent.stat().st_mode & 0o777 == 0o700
    await store.close()


async def test_a_second_process_is_kept_out(path: Path) -> None:
    store = await SqliteStore.open(path)
    with pytest.raises(StoreUnavailable, match="in use"):
        await SqliteStore.open(path)
    await store.close()
    await (await SqliteStore.open(path)).close()


async def test_reads_go_on_while_a_big_write_runs(store: Store, key: MakeKey, value: MakeValue) -> None:
    await store.create(key("a"), value())
    writing = asyncio.create_task(
        store.transaction([Create(key(f"x{n}"), value(x="y" * 2000)) for n in range(3000)])
    )
    reads = 0
    while not writing.done():
        assert len((await store.list("", "pods")).items) in (1, 3001)
        reads += 1
    assert reads > 3
    await writing
