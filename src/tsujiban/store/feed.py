"""Recent changes, shared by all watches of an engine.

A watch keeps only a cursor. Changes wait in one bounded ring, encoded once, however many watch;
a watch that falls behind the ring reads the kept history of its engine, and one that falls behind
that gets `Compacted`. So a slow reader costs no memory and cannot hold up a writer.

Lives in one event loop.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence

from tsujiban.store.batches import Batches
from tsujiban.store.protocol import Event, StoreUnavailable

Kind = tuple[str, str]  # group, resource
# (after, kind) -> (some of the changes after it, revision up to which these are all); raises Compacted
History = Callable[[int, Kind | None], Awaitable[tuple[Sequence[Event], int]]]

RING_EVENTS = 4096
RING_BYTES = 16 * 1024 * 1024
_BATCH = 512


class Feed:
    """The ring, and who waits for what. `history` answers for what is no longer in the ring."""

    def __init__(
        self, revision: int, history: History, *, max_events: int = RING_EVENTS, max_bytes: int = RING_BYTES
    ) -> None:
        self.revision = revision
        self.floor = revision  # the ring holds every change after it
        self.history = history
        self.closed = False
        self._ring: list[Event] = []
        self._bytes = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._waiting: dict[Kind | None, set[FeedWatch]] = {}

    def publish(self, events: Sequence[Event]) -> None:
        """Add changes, in order, and wake those who wait for them."""
        for event in events:
            if event.revision <= self.revision:
                raise ValueError(f"change {event.revision} does not follow {self.revision}")
            self.revision = event.revision
            self._ring.append(event)
            self._bytes += _size(event)
        self._trim()
        for event in events:
            self._wake((event.stored.key.group, event.stored.key.resource), event.revision)
            self._wake(None, event.revision)

    def recent(self, after: int) -> Sequence[Event] | None:
        """The first changes after a revision; None when the ring no longer holds them all."""
        if after < self.floor:
            return None
        first = bisect_right(self._ring, after, key=_revision)
        return self._ring[first : first + _BATCH]

    def progress(self, revision: int) -> None:
        """There is no other change up to `revision`."""
        self.revision = max(self.revision, revision)

    def restart(self, revision: int) -> None:
        """The changes between the newest and `revision` are not known, and never will be: whoever needs
        them must list again."""
        self._ring.clear()
        self._bytes = 0
        self.revision = self.floor = revision
        for kind in tuple(self._waiting):
            self._wake(kind, 0)

    def wait(self, watch: FeedWatch) -> None:
        """Wake `watch` at the next change of its kind."""
        self._waiting.setdefault(watch.kind, set()).add(watch)

    def forget(self, watch: FeedWatch) -> bool:
        """Do not wake `watch` any more; whether it was waiting."""
        waiting = self._waiting.get(watch.kind)
        if waiting is None or watch not in waiting:
            return False
        waiting.remove(watch)
        if not waiting:
            del self._waiting[watch.kind]
        return True

    def close(self) -> None:
        """End all watches."""
        self.closed = True
        for kind in tuple(self._waiting):
            self._wake(kind, self.revision + 1)

    def _wake(self, kind: Kind | None, revision: int) -> None:
        for watch in self._waiting.pop(kind, ()):
            watch.woken(revision)

    def _trim(self) -> None:
        drop = 0
        while self._bytes > self._max_bytes or len(self._ring) - drop > self._max_events:
            self._bytes -= _size(self._ring[drop])
            self.floor = self._ring[drop].revision
            drop += 1
        del self._ring[:drop]


class FeedWatch(Batches):
    """A cursor in a Feed; the `Watch` of the engines that use one."""

    def __init__(self, feed: Feed, after: int, kind: Kind | None) -> None:
        self.kind = kind
        self._feed = feed
        self._cursor = after
        self._waiter: asyncio.Future[None] | None = None  # an idle watch keeps nothing else
        self._closed = False

    @property
    def revision(self) -> int:
        """All changes up to and including this revision have been handed out."""
        return self._cursor

    async def next(self, timeout: float | None = None) -> Sequence[Event]:  # noqa: ASYNC109 - see Watch.next
        """The next changes; none after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            if self._closed or self._feed.closed:
                raise StoreUnavailable("the watch is closed")
            batch, upto = await self._take()
            self._cursor = max(self._cursor, upto)
            if batch:
                return batch
            if self._cursor >= self._feed.revision and not await self._sleep(deadline):
                return ()

    def close(self) -> None:
        """End it."""
        self._closed = True
        self._feed.forget(self)
        self._wake()

    def woken(self, revision: int) -> None:
        """The change at `revision` concerns this watch; none since it went to sleep did before."""
        self._cursor = max(self._cursor, revision - 1)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _take(self) -> tuple[Sequence[Event], int]:
        recent = self._feed.recent(self._cursor)
        if recent is None:
            return await self._feed.history(self._cursor, self.kind)
        if not recent:
            return (), self._feed.revision
        key = self.kind
        if key is None:
            return recent, recent[-1].revision
        batch = [event for event in recent if (event.stored.key.group, event.stored.key.resource) == key]
        return batch, recent[-1].revision

    async def _sleep(self, deadline: float | None) -> bool:
        """Wait for a change; False at the deadline."""
        self._waiter = asyncio.get_running_loop().create_future()
        self._feed.wait(self)
        try:
            async with asyncio.timeout_at(deadline):
                await self._waiter
        except TimeoutError:
            return False
        finally:
            self._waiter = None
            if self._feed.forget(self):  # nobody woke it, so nothing up to now concerns it
                self._cursor = max(self._cursor, self._feed.revision)
        return True


def _revision(event: Event) -> int:
    return event.revision


def _size(event: Event) -> int:
    return len(event.stored.value) + len(event.previous or b"")
