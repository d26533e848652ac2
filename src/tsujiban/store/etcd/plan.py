"""From operations and what is there to one etcd transaction. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from tsujiban.store.changes import change, written_once
from tsujiban.store.etcd import layout, messages
from tsujiban.store.protocol import Check, Create, Delete, InvalidTransaction, Key, Operation, Stored

Present = dict[Key, tuple[layout.Packed, int]]  # with etcd's revision

MAX_WRITES = layout.PLACES
UNWRITTEN = -1  # revision of what this very transaction writes: no condition names it


_SOMETHING = layout.Packed(layout.Draft(b"", b""), 0, b"")


class Write(msgspec.Struct, frozen=True):
    """One change. `deletes`: the draft is the last state of what goes away."""

    key: Key
    draft: layout.Draft
    deletes: bool


class Plan(msgspec.Struct, frozen=True):
    """What to write, under which conditions, and what the caller gets."""

    writes: tuple[Write, ...]
    seen: dict[Key, int]  # etcd's revision that an object must still have; 0: it must still be absent
    exist: tuple[Key, ...]  # what must still exist, at whatever revision
    answers: tuple[Stored | int | None, ...]  # an int is the place of a write

    def request(self, prefix: bytes, transaction: bytes, mark: int) -> Any:
        """The TxnRequest, which etcd carries out only while the mark (`fence`) has the revision `mark`."""
        unchanged = {layout.path(prefix, key): at for key, at in self.seen.items()}
        unchanged[layout.mark(prefix)] = mark
        compare = [
            {"result": messages.EQUAL, "target": messages.MOD, "key": path, "mod_revision": at}
            for path, at in unchanged.items()
        ]
        compare += [
            {
                "result": messages.GREATER,
                "target": messages.VERSION,
                "key": layout.path(prefix, key),
                "version": 0,
            }
            for key in self.exist
        ]
        success = []
        for place, write in enumerate(self.writes):
            path = layout.path(prefix, write.key)
            if write.deletes:
                success.append({"request_delete_range": {"key": path}})
            else:
                value = write.draft.packed(place, transaction)
                success.append({"request_put": {"key": path, "value": value}})
        return messages.TxnRequest(compare=compare, success=success)

    def results(self, revision: int) -> tuple[Stored | None, ...]:
        """What the caller gets when etcd has written at `revision`."""
        return tuple(
            self._written(answer, revision) if isinstance(answer, int) else answer for answer in self.answers
        )

    def _written(self, place: int, revision: int) -> Stored:
        own = layout.first(revision) + place
        return Stored(self.writes[place].key, self.writes[place].draft.value(own), own)


def keys_of(operations: Sequence[Operation]) -> list[Key]:
    """What a transaction names, each once."""
    return list(dict.fromkeys(operation.key for operation in operations))


def guessed(operations: Sequence[Operation]) -> Present | None:
    """What must be there for a transaction that only creates to succeed, so that it need not be read first.
    None when something must be known: what is replaced or removed, or an exact revision."""
    found: Present = {}
    if len(keys_of(operations)) < len(operations):
        return None  # one operation sees what another did
    for operation in operations:
        if isinstance(operation, Check) and operation.expected is None:
            found[operation.key] = _SOMETHING, 0
        elif not isinstance(operation, Create) and not (
            isinstance(operation, Check) and not operation.expected
        ):
            return None
    return found if any(isinstance(operation, Create) for operation in operations) else None


def decide(operations: Sequence[Operation], present: Present) -> Plan:
    """Raises StoreError: that of the first operation that fails."""
    written_once(operations)
    if len(operations) > MAX_WRITES:
        raise InvalidTransaction(
            f"{len(operations)} operations are more than {MAX_WRITES}, which one may have"
        )
    now: dict[Key, Stored | None] = {
        key: present[key][0].stored(key, present[key][1]) if key in present else None
        for key in keys_of(operations)
    }
    writes: list[Write] = []
    answers: list[Stored | int | None] = []
    seen: dict[Key, int] = {}
    exist: list[Key] = []
    for operation in operations:
        key = operation.key
        if isinstance(operation, Check) and operation.expected is None:
            exist.append(key)
        else:
            seen[key] = present[key][1] if key in present else 0
        before = now[key]
        place = len(writes)
        draft = layout.draft(partial(_value, operation, before))
        if draft is None:
            answers.append(None if isinstance(operation, Check) else before)
            continue
        deletes = isinstance(operation, Delete)
        writes.append(Write(key, draft, deletes))
        answers.append(place)
        now[key] = None if deletes else Stored(key, draft.value(0), UNWRITTEN)
    exist = [key for key in exist if key not in seen]
    return Plan(tuple(writes), seen, tuple(exist), tuple(answers))


def _value(operation: Operation, before: Stored | None, revision: int) -> bytes | None:
    event = change(operation, before, revision)
    return None if event is None else event.stored.value
