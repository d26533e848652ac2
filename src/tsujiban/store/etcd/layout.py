"""How objects lie in etcd: keys, values, and the arithmetic of revisions. Pure.

A key is PREFIX/GROUP/RESOURCE/NAMESPACE/NAME, as people who look with etcdctl expect; the core group
is `core`, a cluster-wide object has an empty namespace.

Etcd gives one revision to all that a transaction writes; our contract gives each change its own, so
that a client can go on from any of them. Ours is etcd's times 1024 plus the place of the change in
its transaction. Etcd reports changes in that order, so the place of a deletion is known too.

A value is the object's JSON without the digits of its resourceVersion, which nobody knows before it is
written, and a head that says where they belong, so that reading needs no decoding.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable
from typing import Any

import msgspec

from tsujiban.store.protocol import Event, EventType, InvalidValue, Key, Stored, StoreUnavailable

PLACES = 1024  # revisions of ours to one of etcd's
_CORE = "core"
_FORMAT = 1
_HEAD = struct.Struct(">BHI8s")  # format, place in the transaction, offset of the digits, transaction


def first(revision: int) -> int:
    """Our revision of the first change at etcd's `revision`."""
    return revision * PLACES


def last(revision: int) -> int:
    """Our revision of everything up to and including etcd's `revision`."""
    return revision * PLACES + PLACES - 1


def of_etcd(revision: int) -> int:
    """Etcd's revision of ours."""
    return revision // PLACES


# ---------------------------------------------------------------- keys


def kind_prefix(prefix: bytes, group: str, resource: str, namespace: str | None) -> bytes:
    """What the keys of a kind, in a namespace if one is given, begin with."""
    parts = (group or _CORE, resource) if namespace is None else (group or _CORE, resource, namespace)
    return prefix + "".join(f"{_segment(part)}/" for part in parts).encode()


def path(prefix: bytes, key: Key) -> bytes:
    """Where an object lies.

    Raises:
        InvalidValue: the key has a slash or a control character in it.
    """
    return kind_prefix(prefix, key.group, key.resource, key.namespace) + _segment(key.name).encode()


def key_of(prefix: bytes, raw: bytes) -> Key | None:
    """The key of the object at `raw`; None for what is no object."""
    parts = raw[len(prefix) :].decode(errors="replace").split("/")
    if len(parts) != 4:
        return None
    group, resource, namespace, name = parts
    return Key("" if group == _CORE else group, resource, namespace, name)


def mark(prefix: bytes) -> bytes:
    """Where the mark lies (`fence`), which is no object."""
    return prefix + b".mark"


def range_end(prefix: bytes) -> bytes:
    """The end of the range of all keys that begin with `prefix` (which ends with a slash)."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def _segment(text: str) -> str:
    if "/" in text or not text.isprintable():
        raise InvalidValue(f"{text[:100]!r} cannot be part of a key")
    return text


# ---------------------------------------------------------------- values


class Draft(msgspec.Struct, frozen=True):
    """An object that is about to be written: its value is complete but for the revision."""

    before: bytes
    after: bytes

    def packed(self, place: int, transaction: bytes) -> bytes:
        """As etcd keeps it."""
        return _HEAD.pack(_FORMAT, place, len(self.before), transaction) + self.before + self.after

    def value(self, revision: int) -> bytes:
        """As it is read."""
        return self.before + str(revision).encode() + self.after


def draft(write: Callable[[int], bytes | None]) -> Draft | None:
    """The draft of what `write` makes of a revision; None when it makes nothing."""
    while True:
        marker = secrets.randbits(62) | 1 << 61  # in nobody's text by chance or by will
        value = write(marker)
        if value is None:
            return None
        parts = value.split(b'"resourceVersion":"%d"' % marker)
        if len(parts) == 2:
            return Draft(parts[0] + b'"resourceVersion":"', b'"' + parts[1])


class Packed(msgspec.Struct, frozen=True):
    """An object as etcd keeps it, read."""

    draft: Draft
    place: int
    transaction: bytes

    def stored(self, key: Key, revision: int) -> Stored:
        """The object, written at etcd's `revision`."""
        own = first(revision) + self.place
        return Stored(key, self.draft.value(own), own)


def unpack(raw: bytes, where: bytes) -> Packed:
    """Read what `packed` wrote.

    Raises:
        StoreUnavailable: it is something else; somebody or something else writes under our prefix.
    """
    body = raw[_HEAD.size :]
    try:
        form, place, offset, transaction = _HEAD.unpack_from(raw)
    except struct.error:
        form = place = offset = 0
        transaction = b""
    if form != _FORMAT or place >= PLACES or offset > len(body):
        text = where.decode(errors="replace")
        raise StoreUnavailable(
            f"etcd key {text} holds no object of this program; remove it, or use a newer one"
        )
    return Packed(Draft(body[:offset], body[offset:]), place, transaction)


def stored(prefix: bytes, pair: Any) -> Stored | None:
    """The object in a KeyValue; None when it is none."""
    key = key_of(prefix, pair.key)
    return None if key is None else unpack(pair.value, pair.key).stored(key, pair.mod_revision)


def event(prefix: bytes, raw: Any, place: int, deleted: bool) -> Event | None:
    """The change in an etcd Event, the `place`th of its revision; None when it is no object's."""
    key = key_of(prefix, raw.kv.key)
    if key is None:
        return None
    previous = None
    if raw.prev_kv.mod_revision:
        previous = unpack(raw.prev_kv.value, raw.kv.key)
    own = first(raw.kv.mod_revision) + place
    if deleted:
        if previous is None:
            raise StoreUnavailable(f"etcd does not say what it deleted: {key}")
        was = previous.stored(key, raw.prev_kv.mod_revision)
        return Event(EventType.DELETED, Stored(key, previous.draft.value(own), own), was.value)
    now = unpack(raw.kv.value, raw.kv.key).stored(key, raw.kv.mod_revision)
    if raw.kv.create_revision == raw.kv.mod_revision:
        return Event(EventType.ADDED, now)
    before = previous.stored(key, raw.prev_kv.mod_revision).value if previous else None
    return Event(EventType.MODIFIED, now, before)
