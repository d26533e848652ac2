"""Watch requests: the store's changes as Kubernetes watch events, one JSON line each.

Without selectors and conversions an event is the stored bytes with a few around them. However many clients
watch, a change is decoded and encoded once for all who want it in the same form (`encodings`).
Source: Kubernetes API concepts, "Efficient detection of changes", "Watch bookmarks", "Streaming lists".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec

from tsujiban.controller.api import tables
from tsujiban.controller.api.encodings import Encodings
from tsujiban.controller.api.errors import from_store
from tsujiban.controller.api.selection import Predicate
from tsujiban.controller.api.tables import Representation
from tsujiban.controller.api.target import Target
from tsujiban.resources import versions
from tsujiban.store.protocol import Event, EventType, Store, Stored, StoreError, Watch

Json = dict[str, Any]

BOOKMARK_SECONDS = 30.0
SHARED = Encodings()  # by all watches of this process


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

    def __init__(self, options: Options, shared: Encodings = SHARED) -> None:
        self._options = options
        self._shared = shared
        self._target = options.target
        self._titled = False

    def initial(self, items: Sequence[Stored]) -> bytes:
        """What is there already, as ADDED."""
        predicate = self._options.predicate
        chosen = (i.value for i in items if predicate is None or predicate(msgspec.json.decode(i.value)))
        return b"".join(self._line("ADDED", value) for value in chosen)

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
        kind = (
            event.type.value
            if self._options.predicate is None
            else self._kind(event, self._options.predicate)
        )
        if not kind:
            return b""
        form = (kind, self._target.api_version, self._options.representation, self._titled)
        line = self._shared.of(event, form, lambda: self._line(kind, event.stored.value))
        self._titled = True
        return line

    def _kind(self, event: Event, predicate: Predicate) -> str:
        """What a change is to who sees some objects only; "" for nothing."""
        value, previous = event.stored.value, event.previous
        before = previous is not None and predicate(
            self._shared.of(event, "previous", lambda: msgspec.json.decode(previous))
        )
        after = event.type is not EventType.DELETED and predicate(
            self._shared.of(event, "document", lambda: msgspec.json.decode(value))
        )
        if before:
            return "MODIFIED" if after else "DELETED"
        return "ADDED" if after else ""

    def _line(self, event_type: str, value: bytes) -> bytes:
        if self._options.representation.plain:
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
    return msgspec.json.encode(versions.shown(msgspec.json.decode(value), target.api_version))


async def refusal(options: Options, error: StoreError) -> AsyncGenerator[bytes, None]:
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


async def lines(
    options: Options, initial: Sequence[Stored], watch: Watch, now: Any
) -> AsyncGenerator[bytes, None]:
    """The events of a begun watch, until its deadline; `now` tells the event loop's time."""
    encoder = Encoder(options)
    try:
        if initial:
            yield encoder.initial(initial)
            initial = ()  # nothing that was sent may stay for as long as the watch lasts
        if options.initial_end:
            yield encoder.bookmark(watch.revision, end_of_initial=True)
        while (left := options.deadline - now()) > 0:
            events = await watch.next(min(left, BOOKMARK_SECONDS))
            if not events:
                if options.bookmarks:
                    yield encoder.bookmark(watch.revision)
                continue
            yield encoder.changes(events)
            events = ()
    except StoreError as error:
        yield encoder.error(error)
    finally:
        watch.close()
