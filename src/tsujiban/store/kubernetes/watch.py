"""A watch of one kind at an API server, which goes on by itself when the server ends it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from tsujiban.store.batches import Batches
from tsujiban.store.kubernetes.client import KubernetesClient, Refused, revision_of
from tsujiban.store.protocol import (
    Compacted,
    Event,
    EventType,
    Key,
    Stored,
    StoreError,
    StoreUnavailable,
)

PAUSE_SECONDS = 0.5  # before a lost watch is begun anew
QUEUE_LINES = 256  # lines that may wait for a slow reader; then the server waits


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class KubernetesWatch(Batches):
    """The `Watch` of this engine."""

    def __init__(self, client: KubernetesClient, path: str, kind: tuple[str, str], after: int) -> None:
        self._client = client
        self._path = path
        self._kind = kind
        self._received = after  # up to here the server has sent everything
        self._revision = after
        self._lines: deque[_Line | StoreError] = deque()
        self._news = asyncio.Event()  # there are lines, or the watch is closed
        self._room = asyncio.Event()  # the reader may go on
        self._closed = False
        self._reader: asyncio.Task[None] | None = None

    @property
    def revision(self) -> int:
        """See `Watch.revision`."""
        return self._revision

    async def next(self, timeout: float | None = None) -> Sequence[Event]:  # noqa: ASYNC109 - see Watch.next
        """See `Watch.next`."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        if self._reader is None and not self._closed:
            self._reader = asyncio.create_task(self._read(), name="kubernetes-watch")
        while True:
            if self._closed:
                raise StoreUnavailable("the watch is closed")
            events = self._take()
            if events:
                return events
            try:
                async with asyncio.timeout_at(deadline):
                    await self._news.wait()
            except TimeoutError:
                return ()

    def close(self) -> None:
        """See `Watch.close`."""
        self._closed = True
        self._news.set()
        if self._reader is not None:
            self._reader.cancel()

    # ------------------------------------------------------------ taking

    def _take(self) -> list[Event]:
        """The changes that have come. Raises StoreError: what ended the watch."""
        events: list[Event] = []
        while self._lines:
            line = self._lines[0]
            if isinstance(line, StoreError):
                if events:
                    break  # it stays, for the next time
                raise line
            events += self._taken(line)
            self._lines.popleft()
        if not self._lines:
            self._news.clear()
        self._room.set()
        return events

    def _taken(self, line: _Line) -> list[Event]:
        value = bytes(line.object)
        document = msgspec.json.decode(value)
        self._revision = max(self._revision, revision_of(document))
        if line.type == "BOOKMARK":
            return []
        head = document["metadata"]
        key = Key(*self._kind, head.get("namespace", ""), head["name"])
        return [Event(EventType(line.type), Stored(key, value, revision_of(document)))]

    # ------------------------------------------------------------ the task

    async def _read(self) -> None:
        while True:
            try:
                async with self._client.watch(self._path, self._received) as lines:
                    async for text in lines:
                        await self._put(msgspec.json.decode(text, type=_Line))
            except StoreUnavailable:
                await asyncio.sleep(PAUSE_SECONDS)
            except (Compacted, Refused) as error:
                self._hand_over(self._end(error))
                return
            except msgspec.MsgspecError as error:
                self._hand_over(StoreUnavailable(f"the API server sends no watch events: {error}"))
                return

    async def _put(self, line: _Line) -> None:
        document: dict[str, Any] = msgspec.json.decode(line.object)
        if line.type == "ERROR":
            raise Refused(int(document.get("code") or 500), document)
        self._received = max(self._received, revision_of(document))
        while len(self._lines) >= QUEUE_LINES:
            self._room.clear()
            await self._room.wait()
        self._hand_over(line)

    def _hand_over(self, line: _Line | StoreError) -> None:
        self._lines.append(line)
        self._news.set()

    def _end(self, error: Compacted | Refused) -> StoreError:
        if isinstance(error, Refused) and error.code != 410:
            return StoreUnavailable(f"the API server ends the watch: {error}")
        return Compacted(self._received, 0)
