"""What a store is: the one small contract behind which SQLite, etcd or a Kubernetes API stand.

Everything above (API server, reconcilers) knows only this module. It promises what those three
can all give: compare-and-swap on one object, a list that is a snapshot at a revision, and a watch
that goes on from that revision with no event missed and none repeated. What only some can give is
said by `Features`, and never assumed.

Revisions are integers that only grow, perhaps in leaps; every change of every object has its own.
`resourceVersion` inside a value is always the decimal form of the revision at which that value was
written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

MAX_VALUE_BYTES = 1_500_000  # as etcd's request limit, which Kubernetes users know


class Key(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where an object lives. `resource` is the lower-case plural (`networkpolicies`); `group` is ""
    for the core group; `namespace` is "" for cluster-wide objects. The API version is not part of it."""

    group: str
    resource: str
    namespace: str
    name: str

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        namespace = f"{self.namespace}/" if self.namespace else ""
        return f"{self.resource}{group} {namespace}{self.name}"


class Stored(msgspec.Struct, frozen=True, gc=False):  # many, and never in a cycle
    """One object as it is stored: `value` is its JSON with `metadata.resourceVersion`, `uid`,
    `creationTimestamp` and `generation` filled in by the store."""

    key: Key
    value: bytes
    revision: int


class EventType(StrEnum):
    """What happened, in Kubernetes' words."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One change. For DELETED, `stored` is the last state with the deletion's revision in it.
    `previous` is the value before the change, None for ADDED (selectors need it)."""

    type: EventType
    stored: Stored
    previous: bytes | None = None

    @property
    def revision(self) -> int:
        """Revision of the change."""
        return self.stored.revision


class Listing(msgspec.Struct, frozen=True):
    """A snapshot: the objects in an order of the engine's (by namespace, then name) that stays the same over
    pages, as they were at `revision`. `more` says that `limit` cut it; go on with `after=items[-1].key` and
    the same `revision`."""

    items: tuple[Stored, ...]
    revision: int
    more: bool = False


# ---------------------------------------------------------------- operations of a transaction


class Create(msgspec.Struct, frozen=True):
    """Write an object that must not exist yet. `uid` is a fresh one that the object already names within
    itself; without it the store gives one."""

    key: Key
    value: bytes
    uid: str = ""


class Update(msgspec.Struct, frozen=True):
    """Replace an object whose revision must be `expected` (None: whatever it is)."""

    key: Key
    value: bytes
    expected: int | None


class Delete(msgspec.Struct, frozen=True):
    """Remove an object, if its revision is `expected` (None: whatever it is) and, when `uid` is
    not empty, its uid is that one."""

    key: Key
    expected: int | None = None
    uid: str = ""


class Check(msgspec.Struct, frozen=True):
    """Write nothing, but fail unless the object's revision is `expected` (0: it must not exist;
    None: it must exist, at whatever revision)."""

    key: Key
    expected: int | None = None


Operation = Create | Update | Delete | Check

# ---------------------------------------------------------------- errors


class StoreError(Exception):
    """Base of everything that a store raises on purpose."""


class NotFound(StoreError):
    """No such object."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{key} not found")
        self.key = key


class AlreadyExists(StoreError):
    """The object to create is there already."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{key} already exists")
        self.key = key


class Conflict(StoreError):
    """The object is not at the expected revision, or not the expected one (uid): read it again."""

    def __init__(self, key: Key, expected: int | str, found: int | str) -> None:
        super().__init__(f"{key} was changed by somebody else: expected {expected}, found {found}")
        self.key = key
        self.expected = expected
        self.found = found


class Compacted(StoreError):
    """The history asked for is gone (or never was): list again. Kubernetes' 410 Gone."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"revision {revision} is gone; the oldest kept is {oldest}: list again")
        self.revision = revision
        self.oldest = oldest


class InvalidValue(StoreError):
    """The value is not a JSON object with `metadata`, or it is longer than MAX_VALUE_BYTES."""


class InvalidTransaction(StoreError):
    """The engine cannot do this as one transaction: it is too large, or writes an object twice."""


class StoreUnavailable(StoreError):
    """The store cannot be opened or reached, is in use by another process, is full, or has been closed.
    Raised by a write, it leaves open whether the write was done, if it says so."""


# ---------------------------------------------------------------- the contract


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine can do beyond one object at a time."""

    transactions: bool  # several operations, and `Check`, in one step; without, one write a transaction
    past: bool  # `list` knows how things were at the revision of any commit that is not compacted


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How one part of a store is: the file, or a member of a cluster."""

    name: str
    healthy: bool
    version: str = ""
    detail: str = ""


class Watch(Protocol):
    """Changes in order of revision. Iterate over it, or take batches with `next`. Not for several
    readers at once. Holds no buffer of its own: a reader that falls behind the kept history gets
    `Compacted`."""

    @property
    def revision(self) -> int:
        """All changes up to and including this revision have been handed out (for bookmarks)."""

    async def next(self, timeout: float | None = None) -> Sequence[Event]:  # noqa: ASYNC109 - an empty batch, no error
        """The next changes, at least one; or none after `timeout` seconds.

        Raises:
            Compacted: the reader was too slow.
            StoreUnavailable: the store was closed.
        """

    def __aiter__(self) -> AsyncIterator[Event]:
        """One change at a time, for ever; ends when the watch is closed."""

    def close(self) -> None:
        """End it. May be called more than once."""


class Store(Protocol):
    """Where resources live. All methods may be called from any task of the event loop it was opened in.
    Every method may raise StoreUnavailable.

    The store keeps identity metadata right by itself: `create` gives uid, creationTimestamp and
    generation 1; `update` keeps uid and creationTimestamp whatever the new value says, and raises
    the generation when anything but `metadata` and `status` changed. An update that changes nothing
    is not a write: it returns what is stored, and no watch sees it.
    """

    @property
    def features(self) -> Features:
        """What this engine can do."""

    async def get(self, key: Key) -> Stored:
        """The object.

        Raises:
            NotFound: there is none.
        """

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
        """A snapshot of the objects of a kind, in one namespace or (None) everywhere, as they were at
        `revision` or (0) are now.

        Raises:
            Compacted: `revision` is no longer, or not yet, known.
        """

    async def create(self, key: Key, value: bytes, uid: str = "") -> Stored:
        """Write a new object; returns when it is durable. `uid` as in `Create`.

        Raises:
            AlreadyExists: there is one with this key.
            InvalidValue: the value is not an object, or is too long.
        """

    async def update(self, key: Key, value: bytes, expected: int | None) -> Stored:
        """Replace an object that is at revision `expected` (None: any); returns when it is durable.

        Raises:
            NotFound: there is none.
            Conflict: it is at another revision.
            InvalidValue: the value is not an object, or is too long.
        """

    async def delete(self, key: Key, expected: int | None = None, uid: str = "") -> Stored:
        """Remove an object; returns its last state (with the revision of the deletion) when that is durable.

        Raises:
            NotFound: there is none.
            Conflict: it is at another revision, or has another uid.
        """

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        """Do all of the operations or, if any fails, none; returns what each wrote (None for Check).
        An object is written at most once. Each change has its own revision, but all become visible,
        to readers and watches, together.

        Raises:
            InvalidTransaction: it writes an object twice, or is more than the engine can do in one step.
            StoreError: that of the first operation that failed.
        """

    async def revision(self) -> int:
        """A revision that no change up to now is beyond, and every later one is."""

    async def watch(self, after: int, group: str | None = None, resource: str | None = None) -> Watch:
        """Changes after revision `after`, of one kind (both given) or of all (neither).

        Raises:
            Compacted: `after` is older than the kept history, or newer than the newest change.
        """

    async def compact(self, revision: int) -> None:
        """Forget how things were before `revision`. Never forgets a present object."""

    async def health(self) -> Sequence[Health]:
        """How each part of the store is; never raises StoreError."""

    async def close(self) -> None:
        """Finish the writes under way, end all watches, release the files."""
