from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE, until

from tsujiban.controller.api.mirror import Mirror
from tsujiban.store.protocol import Key, Store
from tsujiban.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    found = await SqliteStore.open(tmp_path / "store.db")
    yield found
    await found.close()


def pod(name: str) -> Key:
    return Key("", "pods", "n", name)


VALUE = b'{"metadata":{}}'


class Sink:
    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def put(self, key: Key, value: bytes) -> None:
        self.held[key.name] = value

    def drop(self, key: Key) -> None:
        self.held.pop(key.name, None)


async def test_it_follows_the_store(store: Store) -> None:
    sink = Sink()
    mirror = Mirror(store, {("", "pods"): [(sink.put, sink.drop)]})
    await store.create(pod("a"), VALUE)
    running = asyncio.create_task(mirror.run())
    async with asyncio.timeout(PATIENCE):
        await mirror.ready.wait()
    assert sorted(sink.held) == ["a"]
    await store.create(pod("b"), VALUE)
    await store.create(Key("", "secrets", "n", "s"), VALUE)
    gone = await store.delete(pod("a"))
    await until(lambda: mirror.revision >= gone.revision)
    assert sorted(sink.held) == ["b"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_vanished_while_the_history_was_lost_is_dropped(store: Store) -> None:
    """The watch falls behind and its history is compacted: nothing that was deleted meanwhile may stay,
    or a revoked right would live on."""
    sink = Sink()
    mirror = Mirror(store, {("", "pods"): [(sink.put, sink.drop)]})
    await store.create(pod("a"), VALUE)
    running = asyncio.create_task(mirror.run())
    async with asyncio.timeout(PATIENCE):
        await mirror.ready.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.delete(pod("a"))
    made = await store.create(pod("b"), VALUE)
    running = asyncio.create_task(mirror.run())  # lists again, as after Compacted
    await until(lambda: mirror.revision >= made.revision)
    assert sorted(sink.held) == ["b"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
