"""The one watch of an etcd cluster that a process keeps; all of its own watches live from it.

It goes on from where it stopped, at another member when its member is lost, so that no change is missed
and none repeated. Changes of one etcd revision are published together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import structlog

from tsujiban.store.etcd import layout, messages
from tsujiban.store.etcd.client import EtcdClient, Gone
from tsujiban.store.feed import Feed
from tsujiban.store.protocol import Event, StoreUnavailable

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.2  # between two attempts to watch

Mark = Callable[[], Awaitable[int]]  # writes, and says at which revision of etcd


class Batches:
    """Etcd's watch responses as whole revisions: what is fragmented is put together, and each change gets
    its place."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._revision = 0  # of the events that are being collected
        self._whole = 0  # up to here nothing is missing
        self._place = 0
        self._events: list[Event] = []

    def add(self, response: Any) -> tuple[list[Event], int]:
        """The changes that are whole now, and etcd's revision up to which they are all (0: no news)."""
        whole: list[Event] = []
        for raw in response.events:
            if raw.kv.mod_revision != self._revision:
                whole += self._events
                self._whole = self._revision
                self._events, self._revision, self._place = [], raw.kv.mod_revision, 0
            self._take(raw)
        if response.fragment:
            return whole, self._whole
        whole += self._events
        self._events, self._whole = [], self._revision
        if not response.events:  # says how far etcd is
            return whole, 0 if response.created else int(response.header.revision)
        return whole, self._revision

    def _take(self, raw: Any) -> None:
        try:
            event = layout.event(self._prefix, raw, self._place, raw.type == messages.DELETE)
        except StoreUnavailable as error:
            log.error("a change in etcd is not understood", reason=str(error))
            return
        if event is not None:
            self._events.append(event)
            self._place += 1


async def batches(
    client: EtcdClient, prefix: bytes, after: int
) -> AsyncGenerator[tuple[list[Event], int], None]:
    """Whole revisions after etcd's revision `after`, and how far they are complete. For ever.

    Raises:
        Gone: etcd has forgotten them.
        StoreUnavailable: the member was lost; begin again after the last revision got.
    """
    whole = Batches(prefix)
    request = {
        "key": prefix,
        "range_end": layout.range_end(prefix),
        "start_revision": after + 1,
        "progress_notify": True,
        "prev_kv": True,
        "fragment": True,
    }
    async with client.watch(**request) as responses:
        async for response in responses:
            events, revision = whole.add(response)
            if revision:
                yield events, revision


async def follow(client: EtcdClient, prefix: bytes, feed: Feed, mark: Mark) -> None:
    """Publish to `feed` for ever. When etcd has forgotten what came next, or what came could not be dealt
    with, `mark` says where to begin, and all watches list again."""
    while True:
        (error,) = await asyncio.gather(_follow(client, prefix, feed, mark), return_exceptions=True)
        log.error("the watch of etcd has failed; all watches list again", exc_info=error)
        await asyncio.sleep(PAUSE_SECONDS)
        feed.restart(layout.last(await _marked(mark)))


async def _follow(client: EtcdClient, prefix: bytes, feed: Feed, mark: Mark) -> None:
    done = layout.of_etcd(feed.revision)
    while True:
        try:
            async for events, revision in batches(client, prefix, done):
                feed.publish(events)
                feed.progress(layout.last(revision))
                done = max(done, revision)
        except StoreUnavailable as error:
            log.warning("watch of etcd lost", reason=str(error))
            await asyncio.sleep(PAUSE_SECONDS)
        except Gone:
            log.warning("etcd has compacted what was not yet seen; all watches list again")
            done = await _marked(mark)
            feed.restart(layout.last(done))


async def _marked(mark: Mark) -> int:
    while True:
        try:
            return await mark()
        except StoreUnavailable as error:
            log.warning("etcd does not take writes", reason=str(error))
            await asyncio.sleep(PAUSE_SECONDS)
