"""What an operation makes of what is there: the rules that all engines of our own share. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tsujiban.store import metadata
from tsujiban.store.protocol import (
    AlreadyExists,
    Check,
    Conflict,
    Create,
    Delete,
    Event,
    EventType,
    InvalidTransaction,
    Key,
    NotFound,
    Operation,
    Stored,
    Update,
)


def written_once(operations: Sequence[Operation]) -> None:
    """Raises InvalidTransaction when an object is written more than once."""
    seen: set[Key] = set()
    for operation in operations:
        if isinstance(operation, Check):
            continue
        if operation.key in seen:
            raise InvalidTransaction(f"{operation.key} is written twice in one transaction")
        seen.add(operation.key)


def change(operation: Operation, present: Stored | None, revision: int) -> Event | None:
    """The change that an operation makes to what is there; None when it makes none."""
    key = operation.key
    if isinstance(operation, Check):
        _check(operation, present)
        return None
    if isinstance(operation, Create):
        if present is not None:
            raise AlreadyExists(key)
        return Event(
            EventType.ADDED, Stored(key, metadata.created(operation.value, revision, operation.uid), revision)
        )
    if present is None:
        raise NotFound(key)
    if operation.expected is not None and operation.expected != present.revision:
        raise Conflict(key, operation.expected, present.revision)
    if isinstance(operation, Update):
        value = metadata.updated(present.value, operation.value, revision)
        if value is None:
            return None
        return Event(EventType.MODIFIED, Stored(key, value, revision), present.value)
    return _deletion(operation, present, revision)


def _check(operation: Check, present: Stored | None) -> None:
    if operation.expected is None:
        if present is None:
            raise NotFound(operation.key)
    elif operation.expected != (found := present.revision if present else 0):
        raise Conflict(operation.key, operation.expected, found)


def _deletion(operation: Delete, present: Stored, revision: int) -> Event:
    if operation.uid and operation.uid != (found := metadata.uid(present.value)):
        raise Conflict(operation.key, operation.uid, found)
    value = metadata.deleted(present.value, revision)
    return Event(EventType.DELETED, Stored(operation.key, value, revision), present.value)
