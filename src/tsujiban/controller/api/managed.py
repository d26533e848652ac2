"""Who manages which field: `metadata.managedFields`, and server-side apply, which goes by it.

Every write says what its manager changed; apply says what its manager wants, and nothing else. Two managers
that want different values of one field are a conflict, told to the one who comes second. Pure.
Source: KEP-555; Kubernetes "Server-Side Apply"; the merge rules of structured-merge-diff.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tsujiban.controller.api import fields
from tsujiban.controller.api.errors import ApiError, bad_request
from tsujiban.controller.api.fields import Fields, NotFields, Path
from tsujiban.controller.api.three_way import LAST_APPLIED, annotation, last_applied
from tsujiban.resources.schema import Schema

Json = dict[str, Any]

APPLY, UPDATE = "Apply", "Update"
MAX_UPDATERS = 10
ANCIENT = "ancient-changes"
BEFORE = "before-first-apply"
KUBECTL = "kubectl"  # its apply takes over what its older, client-side apply had written

# nobody manages what the server gives, or what names the object
_SERVERS: Fields = frozenset(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",)]
    + [
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "generateName",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "managedFields",
        )
    ]
)
_STATUS = "f:status"


def now() -> str:
    """The time, as objects carry it (RFC 3339)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Writer(msgspec.Struct, frozen=True):
    """Who writes, and through which door."""

    name: str
    api_version: str
    subresource: str = ""
    time: str = ""  # RFC 3339


class Entry(msgspec.Struct, frozen=True):
    """One entry of managedFields."""

    manager: str
    operation: str
    api_version: str
    time: str
    fields: Fields
    subresource: str = ""

    def is_of(self, who: Writer, operation: str) -> bool:
        """Whether a write of `who` belongs in this entry."""
        same = (self.manager, self.operation, self.subresource) == (who.name, operation, who.subresource)
        return same and (operation == APPLY or self.api_version == who.api_version)

    def less(self, gone: Iterable[Path]) -> Entry:
        """Without some of its fields."""
        return msgspec.structs.replace(self, fields=self.fields.difference(gone))

    def __str__(self) -> str:
        where = f" with subresource {self.subresource!r}" if self.subresource else ""
        if self.operation == APPLY:
            return f'"{self.manager}"{where}'
        return f'"{self.manager}"{where} using {self.api_version}'


# ---------------------------------------------------------------- reading and writing entries


def entries(document: Json | None) -> tuple[Entry, ...]:
    """The entries of an object; none when they cannot be read."""
    written = document["metadata"].get("managedFields") if document is not None else None
    try:
        return tuple(_entry(one) for one in written or ())
    except NotFields:
        return ()


def _entry(written: Any) -> Entry:
    if not isinstance(written, dict):
        raise NotFields("an entry is not an object")
    texts = [written.get(name, "") for name in ("manager", "operation", "apiVersion", "time", "subresource")]
    if not all(isinstance(text, str) for text in texts) or texts[1] not in (APPLY, UPDATE) or not texts[2]:
        raise NotFields("an entry lacks its head")
    manager, operation, api_version, when, subresource = texts
    return Entry(
        manager, operation, api_version, when, fields.decode(written.get("fieldsV1", {})), subresource
    )


def with_entries(document: Json, found: Iterable[Entry]) -> Json:
    """`document` with these entries, the empty ones left out."""
    written = [
        {
            "manager": entry.manager,
            "operation": entry.operation,
            "apiVersion": entry.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields.encode(entry.fields),
        }
        | ({"subresource": entry.subresource} if entry.subresource else {})
        for entry in sorted(found, key=_order)
        if entry.fields
    ]
    head = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    return {**document, "metadata": head | ({"managedFields": written} if written else {})}


def _order(entry: Entry) -> tuple[str, ...]:
    return (entry.operation, entry.time, entry.manager, entry.api_version, entry.subresource)


def is_reset(given: Any) -> bool:
    """Whether a client's managedFields say that nobody shall manage anything: `[]` or `[{}]`."""
    return given in ([], [{}])


# ---------------------------------------------------------------- writes


def updated(live: Json | None, new: Json, given: Any, who: Writer, of: Schema) -> Json:
    """`new`, as it replaces `live` (None: as it is created), with the entries that follow.

    `given` is what the client wrote into managedFields: it is taken, if it can be read. An object that
    nobody manages stays so until the first apply.
    """
    known = entries(live)
    if live is not None and given is not None:
        known = () if is_reset(given) else entries({"metadata": {"managedFields": given}}) or known
    if live is not None and not known:
        return with_entries(new, ())
    before = _leaves(live, of)
    after = _leaves(new, of)
    added, modified, removed = _compared(before, after)
    changed = added | modified
    own = next((entry for entry in known if entry.is_of(who, UPDATE)), None)
    others = [entry.less(changed | removed) for entry in known if entry is not own]
    mine = ((own.fields if own else fields.NONE) | _managed(changed, who)) - removed
    if own is not None and mine == own.fields:
        mine_now = own
    else:
        mine_now = Entry(who.name, UPDATE, who.api_version, who.time, mine, who.subresource)
    return with_entries(new, _bounded([*others, mine_now]))


def applied(live: Json | None, config: Json, who: Writer, of: Schema, *, force: bool) -> Json:
    """`live` (None: there is none yet) as it is when `who` wants `config`, with the entries that follow.

    Raises:
        ApiError: 409 when others manage fields that would change, and not `force`; 400 when a list in
            `config` holds the same item twice.
    """
    try:
        return _applied(live, config, who, of, force=force)
    except _Conflicts as conflicts:
        if who.name != KUBECTL or live is None:
            raise conflicts.error() from None
        taken_over = fields.fields(last_applied(live), of)
        left = [(entry, path) for entry, path in conflicts.found if path not in taken_over]
        if left:
            raise _Conflicts(left).error() from None
        return _applied(live, config, who, of, force=True)


def _applied(live: Json | None, config: Json, who: Writer, of: Schema, *, force: bool) -> Json:
    try:
        wanted = _managed(fields.fields(config, of, strict=True), who)
    except NotFields as error:
        raise bad_request(f"the object cannot be applied: {error}") from None
    present = live if live is not None else {}
    before = _leaves(live, of)
    known = entries(live)
    if live is not None and not known:
        everything = frozenset(before) - _SERVERS
        known = (Entry(BEFORE, UPDATE, who.api_version, who.time, everything),)
    own = next((entry for entry in known if entry.is_of(who, APPLY)), None)
    others = [entry for entry in known if entry is not own]
    owned = fields.with_parents(path for entry in others for path in entry.fields) | fields.with_parents(
        wanted
    )
    gone = set(own.fields) - owned if own is not None else set()
    document = fields.without(fields.merged(present, config, of), of, gone, owned)
    added, modified, removed = _compared(before, _leaves(document, of))
    changed = added | modified
    found = [(entry, path) for entry in others for path in sorted(entry.fields & changed)]
    if found and not force:
        raise _Conflicts(found)
    others = [entry.less(changed | removed) for entry in others]
    if own is not None and own.fields == wanted and own.api_version == who.api_version:
        mine_now = own
    else:
        mine_now = Entry(who.name, APPLY, who.api_version, who.time, wanted, who.subresource)
    return with_entries(document, [mine_now, *others])


class _Conflicts(Exception):
    """Fields that others manage."""

    def __init__(self, found: Sequence[tuple[Entry, Path]]) -> None:
        super().__init__()
        self.found = found

    def error(self) -> ApiError:
        """As Kubernetes tells it."""
        causes = [
            {
                "reason": "FieldManagerConflict",
                "message": f"conflict with {entry}",
                "field": fields.shown(path),
            }
            for entry, path in self.found
        ]
        if len(causes) == 1:
            text = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
        else:
            by_manager: dict[str, list[str]] = {}
            for entry, path in self.found:
                by_manager.setdefault(str(entry), []).append(f"- {fields.shown(path)}")
            lines = [
                line for name in sorted(by_manager) for line in (f"conflicts with {name}:", *by_manager[name])
            ]
            text = f"{len(causes)} conflicts: " + "\n".join(lines)
        return ApiError(409, "Conflict", f"Apply failed with {text}", {"causes": causes})


def _leaves(document: Json | None, of: Schema) -> dict[Path, Any]:
    if document is None:
        return {}
    head = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    return fields.leaves({**document, "metadata": head}, of)


def _compared(before: dict[Path, Any], after: dict[Path, Any]) -> tuple[Fields, Fields, Fields]:
    """What was added, what has another value, what was removed."""
    if not before:
        return frozenset(after), fields.NONE, fields.NONE
    added = frozenset(path for path in after if path not in before)
    removed = frozenset(path for path in before if path not in after)
    modified = frozenset(
        path for path, value in after.items() if path in before and not _same(before[path], value)
    )
    return added, modified, removed


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, dict | list) and isinstance(other, dict | list):
        return fields.canonical(one) == fields.canonical(other)
    return type(one) is type(other) and bool(one == other)


def _managed(paths: Fields, who: Writer) -> Fields:
    """What of the fields this door lets its writer manage."""
    if who.subresource == "status":
        return frozenset(path for path in paths if path[0] == _STATUS)
    return frozenset(path for path in paths if path not in _SERVERS and path[0] != _STATUS)


def _bounded(found: list[Entry]) -> list[Entry]:
    """At most MAX_UPDATERS entries of updates: the oldest of them become one."""
    updates = sorted(
        (entry for entry in found if entry.operation == UPDATE and not entry.subresource and entry.fields),
        key=lambda entry: entry.time,
    )
    surplus = updates[: len(updates) - MAX_UPDATERS]
    if not surplus:
        return found
    merged = frozenset().union(*(entry.fields for entry in surplus))
    last = surplus[-1]
    ancient = Entry(ANCIENT, UPDATE, last.api_version, last.time, merged)
    kept = [entry for entry in found if entry not in surplus]
    return [ancient, *kept]


def with_last_applied(document: Json, config: Json) -> Json:
    """After an apply by kubectl: the annotation of its client-side apply, if there is one, says the same."""
    if not last_applied(document):
        return document
    result = copy.deepcopy(document)
    result["metadata"]["annotations"][LAST_APPLIED] = annotation(config)
    return result
