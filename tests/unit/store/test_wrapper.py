from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from tests.support.storesuite import KIND, ObjectSuite, key, put, value

from tsujiban.store.protocol import Operation, Store, Stored
from tsujiban.store.sqlite import SqliteStore
from tsujiban.store.wrapper import StoreWrapper

pytestmark = pytest.mark.anyio


class Counting(StoreWrapper):
    """Counts writes; closing is the owner's."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.written = 0

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        self.written += len(operations)
        return await super().transaction(operations)

    async def close(self) -> None:
        await self._store.close()


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Counting]:
    wrapped = Counting(await SqliteStore.open(path))
    yield wrapped
    await wrapped.close()


class TestSuite(ObjectSuite):
    """What goes through it is what the engine does."""


async def test_every_write_passes(store: Counting) -> None:
    made = await put(store, "a", 1)
    changed = await store.update(key("a"), value(key("a"), 2), made)
    await store.delete(key("a"), changed.revision)
    assert store.written == 3
    await store.compact(made)
    assert store.features.transactions
    assert (await store.list(*KIND)).items == ()


async def test_it_does_not_close_what_others_use(path: Path) -> None:
    below = await SqliteStore.open(path)
    with pytest.raises(NotImplementedError):
        await StoreWrapper(below).close()
    await below.close()
