"""The embedded engine: the suite of all engines, and what SQLite does beside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.support.storesuite import ObjectSuite, TransactionSuite, names, take
from tests.support.wait import PATIENCE, until

from tsujiban.store import schema
from tsujiban.store.protocol import Compacted, Create, Key, Store, StoreUnavailable
from tsujiban.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

MakeKey = Callable[..., Key]
MakeValue = Callable[..., bytes]


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    engine = await SqliteStore.open(path)
    yield engine
    await engine.close()


class TestSuite(ObjectSuite, TransactionSuite):
    """All that an engine can promise."""


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


async def test_a_full_disk_refuses_writes_and_loses_nothing(
    path: Path, key: MakeKey, value: MakeValue
) -> None:
    store = await SqliteStore.open(path)
    kept = await store.create(key("kept"), value())
    connection = store._writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")  # SQLite says then what it says of a full disk
    big = value(x="y" * 100_000)
    for attempt in range(2):
        with pytest.raises(StoreUnavailable, match="disk is full: free some space"):
            await store.create(key(f"big-{attempt}"), big)
        (health,) = await store.health()
        assert not health.healthy
        assert "disk is full" in health.detail
        assert await store.get(key("kept")) == kept
    connection.execute("PRAGMA max_page_count = 1000000")
    made = await store.create(key("big"), big)
    assert made.revision == kept.revision + 1
    assert (await store.health())[0].healthy
    await store.close()


@pytest.mark.parametrize("step", ["reserve", "prepare"])
async def test_who_gives_up_opening_it_does_not_keep_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    real = getattr(schema, step)

    def held(at: Path) -> object:
        begun.set()
        assert go_on.wait(PATIENCE)
        return real(at)

    with monkeypatch.context() as patch:
        patch.setattr(schema, step, held)
        opening = asyncio.create_task(SqliteStore.open(path))
        await until(begun.is_set)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        go_on.set()
    await reopened(path)


async def reopened(path: Path) -> None:
    """Open and close it, when the thread that was given up has let go of it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                store = await SqliteStore.open(path)
            except StoreUnavailable:
                await asyncio.sleep(0.01)
            else:
                return await store.close()
