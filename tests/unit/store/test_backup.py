from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from tests.support.storesuite import KIND, key, put, value
from tests.support.wait import until

from tsujiban.store import backup
from tsujiban.store.protocol import Compacted, Create, StoreUnavailable
from tsujiban.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


def silent(_text: str) -> None:
    return None


def leftovers(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.name.endswith(("-wal", "-shm", "-journal"))]


def content(path: Path) -> bytes:
    return path.read_bytes()


def damage(path: Path) -> None:
    path.write_bytes(b"this was a store")


async def test_a_copy_is_of_one_moment_while_writes_go_on(path: Path, tmp_path: Path) -> None:
    store = await SqliteStore.open(path)
    stop = asyncio.Event()

    written = 0

    async def write(worker: int) -> None:
        nonlocal written
        number = 0
        while not stop.is_set():
            number += 1
            written += 1
            pair = [key(f"w{worker}-{number}", namespace) for namespace in ("default", "kube-system")]
            await store.transaction([Create(one, value(one, "x" * 500)) for one in pair])

    writers = [asyncio.create_task(write(worker)) for worker in range(4)]
    copies = []
    for number in range(5):
        await until(lambda before=written: written >= before + 20)  # type: ignore[misc]
        copies.append(tmp_path / f"copy-{number}.db")
        await asyncio.to_thread(backup.copy, path, copies[-1])
    stop.set()
    await asyncio.gather(*writers)
    await store.close()
    sizes = []
    for copy in copies:
        assert copy.stat().st_mode & 0o777 == 0o600
        rows = (
            sqlite3.connect(copy)
            .execute("SELECT namespace, name FROM history WHERE ended IS NULL")
            .fetchall()
        )
        left = {name for namespace, name in rows if namespace == "default"}
        assert left == {name for namespace, name in rows if namespace == "kube-system"}, "half a transaction"
        sizes.append(len(left))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert leftovers(tmp_path) == []


async def test_a_restored_store_has_the_objects_and_sends_every_client_to_list_again(
    path: Path, tmp_path: Path
) -> None:
    store = await SqliteStore.open(path)
    await put(store, "a", 1)
    old = await put(store, "gone")
    await store.delete(key("gone"))
    saved = await store.list(*KIND)
    backup.copy(path, tmp_path / "copy.db")
    for number in range(20):
        await put(store, f"later-{number}")
    known = await store.revision()  # what clients have seen
    await store.close()
    said: list[str] = []
    aside = backup.adopt(tmp_path / "copy.db", path, said.append)
    assert aside is not None
    assert aside.exists()
    assert "1 objects" in said[0]
    store = await SqliteStore.open(path)
    assert (await store.list(*KIND)).items == saved.items
    for after in (old, saved.revision, known):
        with pytest.raises(Compacted):
            await store.watch(after)
    begin = await store.revision()
    assert begin > known
    watch = await store.watch(begin)
    made = await put(store, "new")
    assert made > begin
    assert [event.revision for event in await watch.next()] == [made]
    await store.close()
    store = await SqliteStore.open(path)
    assert await store.revision() == made
    with pytest.raises(Compacted):
        await store.watch(begin - 1)
    await store.close()


async def test_what_is_in_use_or_damaged_is_not_replaced(path: Path, tmp_path: Path) -> None:
    store = await SqliteStore.open(path)
    await put(store, "a")
    copy = tmp_path / "copy.db"
    backup.copy(path, copy)
    with pytest.raises(StoreUnavailable, match="in use"):
        backup.adopt(copy, path, silent)
    await store.close()
    before = content(path)
    newer, empty, torn = (tmp_path / name for name in ("newer.db", "empty.db", "torn.db"))
    newer.write_bytes(copy.read_bytes())
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    sqlite3.connect(empty).close()
    torn.write_bytes(copy.read_bytes()[:4096] + b"\xff" * 8192)
    for source, told in ((newer, "newer tsujiban"), (empty, "not a store"), (torn, "damaged|not a usable")):
        with pytest.raises(StoreUnavailable, match=told):
            backup.adopt(source, path, silent)
        assert content(path) == before
    with pytest.raises(StoreUnavailable, match="no store at"):
        backup.copy(tmp_path / "nowhere.db", tmp_path / "x.db")


async def test_a_damaged_store_is_replaced_and_kept(path: Path, tmp_path: Path) -> None:
    store = await SqliteStore.open(path)
    await put(store, "a")
    backup.copy(path, tmp_path / "copy.db")
    await store.close()
    damage(path)
    with pytest.raises(StoreUnavailable, match="tsujiban restore"):
        await SqliteStore.open(path)
    aside = backup.adopt(tmp_path / "copy.db", path, silent)
    assert aside is not None
    assert content(aside) == b"this was a store"
    store = await SqliteStore.open(path)
    assert len((await store.list(*KIND)).items) == 1
    await store.close()
