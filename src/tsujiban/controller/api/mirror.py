"""A copy of some kinds in memory, kept by a watch: what must be known at every request without reading.

List and watch of the whole store, filtered by kind. When the history is gone it lists again; what
has vanished meanwhile is told as deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from tsujiban.store.protocol import Compacted, EventType, Key, Store, StoreUnavailable, Watch

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0

KindId = tuple[str, str]  # group, resource
Put = Callable[[Key, bytes], None]
Drop = Callable[[Key], None]


class Mirror:
    """Tells `put` and `drop` of each kind about every change. Run `run` as a task; `ready` is set when the
    copy is whole for the first time."""

    def __init__(self, store: Store, sinks: Mapping[KindId, Iterable[tuple[Put, Drop]]]) -> None:
        self.ready = asyncio.Event()
        self.revision = 0  # all changes up to it are in the copy
        self._store = store
        self._sinks = {kind: tuple(listeners) for kind, listeners in sinks.items()}
        self._known: set[Key] = set()

    async def run(self) -> None:
        """Until cancelled. A store that does not answer is asked again: nothing can be read or written
        meanwhile, so rights that are a little old open nothing."""
        while True:
            try:
                await self._follow(await self._load())
            except Compacted:
                log.warning("watch history gone, listing again")
            except StoreUnavailable as error:
                log.warning("the store does not answer", reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _load(self) -> int:
        revision = await self._store.revision()
        present: set[Key] = set()
        for group, resource in self._sinks:
            for stored in (await self._store.list(group, resource, revision=revision)).items:
                present.add(stored.key)
                self._put(stored.key, stored.value)
        for key in self._known - present:
            self._drop(key)
        self.revision = revision
        return revision

    async def _follow(self, revision: int) -> None:
        watch = await self._store.watch(revision)
        self.ready.set()
        try:
            await self._take(watch)
        finally:
            watch.close()

    async def _take(self, watch: Watch) -> None:
        while True:
            for event in await watch.next():
                key = event.stored.key
                if (key.group, key.resource) in self._sinks:
                    if event.type is EventType.DELETED:
                        self._drop(key)
                    else:
                        self._put(key, event.stored.value)
                self.revision = event.stored.revision

    def _put(self, key: Key, value: bytes) -> None:
        self._known.add(key)
        for put, _ in self._sinks[key.group, key.resource]:
            put(key, value)

    def _drop(self, key: Key) -> None:
        self._known.discard(key)
        for _, drop in self._sinks[key.group, key.resource]:
            drop(key)
