"""Writes of one object: transactions with one operation, in every engine that has transactions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tsujiban.store.protocol import Create, Delete, Key, Operation, Stored, Update


class SingleWrites(ABC):
    """`create`, `update` and `delete` of a `Store` whose `transaction` does all the work."""

    @abstractmethod
    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        """See `Store.transaction`."""

    async def create(self, key: Key, value: bytes, uid: str = "") -> Stored:
        """See `Store.create`."""
        return await self._single(Create(key, value, uid))

    async def update(self, key: Key, value: bytes, expected: int | None) -> Stored:
        """See `Store.update`."""
        return await self._single(Update(key, value, expected))

    async def delete(self, key: Key, expected: int | None = None, uid: str = "") -> Stored:
        """See `Store.delete`."""
        return await self._single(Delete(key, expected, uid))

    async def _single(self, operation: Operation) -> Stored:
        (stored,) = await self.transaction((operation,))
        if stored is None:
            raise TypeError(f"{operation} wrote nothing")
        return stored
