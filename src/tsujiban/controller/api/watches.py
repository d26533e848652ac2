"""Watch requests: the store's changes as Kubernetes watch events, one JSON line each.

Without selectors and conversions an event is the stored bytes with a few around them.
Source: Kubernetes API concepts, "Efficient detection of changes", "Watch bookmarks", "Streaming lists".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from tsujiban.controller.api import tables
from tsujiban.controller.api.errors import from_store
from tsujiban.controller.api.selection import Predicate
from tsujiban.controller.api.tables import Representation
from tsujiban.controller.api.target import Target
from tsujiban.store.protocol import Event, EventType, Store, Stored, StoreError, Watch

Json = dict[str, Any]

BOOKMARK_SECONDS = 30.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What of a kind is watched, and in which form. `deadline` in the event loop's time."""

    target: Target
    predicate: Predicate | None
    representation: Representation
    bookmarks: bool
    initial_end: bool  # mark the end of the initial events
    deadline: float


class Encoder:
    """Turns changes into lines for one client."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._target = options.target
        self._as_stored = (
            options.predicate is None
            and options.representation.plain
            and options.target.api_version == options.target.kind.api_version
        )
        self._titled = False

    def initial(self, items: Sequence[Stored]) -> bytes:
        """What is there already, as ADDED."""
        return b"".join(self._line("ADDED", item.value) for item in items if self._visible(item.value))

    def changes(self, events: Sequence[Event]) -> bytes:
        """The lines for some changes; empty when none concerns the client."""
        return b"".join(self._change(event) for event in events)

    def bookmark(self, revision: int, *, end_of_initial: bool = False) -> bytes:
        """Says up to where the client has seen everything."""
        metadata: Json = {"resourceVersion": str(revision), "creationTimestamp": None}
        if end_of_initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        head = {"kind": self._target.kind.kind, "apiVersion": self._target.api_version}
        return msgspec.json.encode({"type": "BOOKMARK", "object": {**head, "metadata": metadata}}) + b"\n"

    def error(self, error: StoreError) -> bytes:
        """Why the watch ends."""
        return msgspec.json.encode({"type": "ERROR", "object": from_store(error).status()}) + b"\n"

    def _change(self, event: Event) -> bytes:
        namespace = self._target.namespace
        if namespace and event.stored.key.namespace != namespace:
            return b""
        value = event.stored.value
        if self._as_stored:
            return b'{"type":"%s","object":%s}\n' % (event.type.encode(), value)
        before = event.previous is not None and self._visible(event.previous)
        after = event.type is not EventType.DELETED and self._visible(value)
        if not before and not after:
            return b""
        kind = "MODIFIED" if before and after else "ADDED" if after else "DELETED"
        return self._line(kind, value)

    def _visible(self, value: bytes) -> bool:
        predicate = self._options.predicate
        return predicate is None or predicate(msgspec.json.decode(value))

    def _line(self, event_type: str, value: bytes) -> bytes:
        if self._as_stored or self._options.representation.plain:
            return b'{"type":"%s","object":%s}\n' % (event_type.encode(), converted(value, self._target))
        document = msgspec.json.decode(converted(value, self._target))
        metadata = {"resourceVersion": document["metadata"]["resourceVersion"]}
        wanted = self._options.representation
        if wanted.metadata:
            partial = tables.partial(document, wanted.version)
            return msgspec.json.encode({"type": event_type, "object": partial}) + b"\n"
        body = tables.table(self._target.kind, [document], metadata, wanted, titles=not self._titled)
        self._titled = True
        return msgspec.json.encode({"type": event_type, "object": body}) + b"\n"


def converted(value: bytes, target: Target) -> bytes:
    """A stored object in the API version that was asked for."""
    if target.api_version == target.kind.api_version:
        return value
    document = msgspec.json.decode(value)
    document["apiVersion"] = target.api_version
    return msgspec.json.encode(document)


async def refusal(options: Options, error: StoreError) -> AsyncIterator[bytes]:
    """A watch that says why there is none, and ends: what a client does then it has to do anyway."""
    yield Encoder(options).error(error)


async def start(store: Store, options: Options, since: int | None) -> tuple[Sequence[Stored], Watch]:
    """Begin a watch after revision `since`, or (None) with all that is there.

    Raises:
        StoreError: `Compacted`, when `since` is too old.
    """
    kind = options.target.kind
    if since is not None:
        return (), await store.watch(since, kind.group, kind.plural)
    listing = await store.list(kind.group, kind.plural, options.target.namespace or None)
    return listing.items, await store.watch(listing.revision, kind.group, kind.plural)


async def lines(options: Options, initial: Sequence[Stored], watch: Watch, now: Any) -> AsyncIterator[bytes]:
    """The events of a begun watch, until its deadline; `now` tells the event loop's time."""
    encoder = Encoder(options)
    try:
        if initial:
            yield encoder.initial(initial)
        if options.initial_end:
            yield encoder.bookmark(watch.revision, end_of_initial=True)
        while (left := options.deadline - now()) > 0:
            events = await watch.next(min(left, BOOKMARK_SECONDS))
            chunk = encoder.changes(events)
            if chunk:
                yield chunk
            elif options.bookmarks and not events:
                yield encoder.bookmark(watch.revision)
    except StoreError as error:
        yield encoder.error(error)
    finally:
        watch.close()
