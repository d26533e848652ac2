"""A store that does something more to each write; all else goes through, and all writes are transactions."""

from __future__ import annotations

from collections.abc import Sequence

from tsujiban.store.protocol import (
    Features,
    Health,
    Key,
    Listing,
    Operation,
    Store,
    Stored,
    Watch,
)
from tsujiban.store.single import SingleWrites


class StoreWrapper(SingleWrites):
    """A `Store` on another; a subclass says what becomes of a transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def features(self) -> Features:
        """See `Store.features`."""
        return self._store.features

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        """See `Store.transaction`."""
        return await self._store.transaction(operations)

    async def get(self, key: Key) -> Stored:
        """See `Store.get`."""
        return await self._store.get(key)

    async def list(
        self,
        group: str,
        resource: str,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int = 0,
    ) -> Listing:
        """See `Store.list`."""
        return await self._store.list(group, resource, namespace, limit=limit, after=after, revision=revision)

    async def revision(self) -> int:
        """See `Store.revision`."""
        return await self._store.revision()

    async def watch(self, after: int, group: str | None = None, resource: str | None = None) -> Watch:
        """See `Store.watch`."""
        return await self._store.watch(after, group, resource)

    async def compact(self, revision: int) -> None:
        """See `Store.compact`."""
        await self._store.compact(revision)

    async def health(self) -> Sequence[Health]:
        """See `Store.health`."""
        return await self._store.health()

    async def close(self) -> None:
        """Whoever opened the store below closes it."""
        raise NotImplementedError("a view of a store cannot close it")
