"""A watch that hands out batches, read one change at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence

from tsujiban.store.protocol import Event, StoreUnavailable


class Batches(ABC):
    """The iteration of a `Watch` whose `next` does all the work."""

    _closed = False

    @abstractmethod
    async def next(self, timeout: float | None = None) -> Sequence[Event]:  # noqa: ASYNC109 - see Watch.next
        """See `Watch.next`."""

    async def __aiter__(self) -> AsyncIterator[Event]:
        """One change at a time, until the watch is closed."""
        while not self._closed:
            try:
                batch = await self.next()
            except StoreUnavailable:
                if self._closed:
                    return
                raise
            for event in batch:
                yield event
