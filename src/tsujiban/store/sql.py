"""What the store's operations are in SQL, on one open connection; no threads, no event loop."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tsujiban.store.changes import change, written_once
from tsujiban.store.protocol import Check, Compacted, Event, EventType, Key, Listing, Operation, Stored

_BATCH = 256
_PRESENT = "grp = ? AND resource = ? AND namespace = ? AND name = ? AND ended IS NULL"


class Outcome:
    """What one transaction wrote: a result per operation, and the changes."""

    def __init__(self) -> None:
        self.results: list[Stored | None] = []
        self.events: list[Event] = []


def head(connection: sqlite3.Connection) -> int:
    """Revision of the newest change."""
    # compaction never takes the newest row, so the largest key is it; but for a store that was restored:
    # it goes on after the revision from which its history is whole
    newest = connection.execute("SELECT coalesce(max(revision), 0) FROM history").fetchone()[0]
    return max(int(newest), compacted(connection))


def compacted(connection: sqlite3.Connection) -> int:
    """Oldest revision from which history is complete."""
    return int(connection.execute("SELECT value FROM meta WHERE name = 'compacted'").fetchone()[0])


def find(connection: sqlite3.Connection, key: Key) -> Stored | None:
    """The present object."""
    row = connection.execute(
        f"SELECT revision, value FROM history WHERE {_PRESENT}",  # noqa: S608 - a constant
        (key.group, key.resource, key.namespace, key.name),
    ).fetchone()
    return None if row is None else Stored(key, row[1], row[0])


def execute(connection: sqlite3.Connection, operations: Sequence[Operation], revision: int) -> Outcome:
    """Do `operations`, the first change at `revision`; the caller has begun a transaction, and undoes it
    when this raises a StoreError."""
    written_once(operations)
    outcome = Outcome()
    for operation in operations:
        present = find(connection, operation.key)
        event = change(operation, present, revision + len(outcome.events))
        if event is None:
            outcome.results.append(None if isinstance(operation, Check) else present)
            continue
        _write(connection, event, present)
        outcome.events.append(event)
        outcome.results.append(event.stored)
    return outcome


def _write(connection: sqlite3.Connection, event: Event, present: Stored | None) -> None:
    key, revision = event.stored.key, event.revision
    if present is not None:
        connection.execute("UPDATE history SET ended = ? WHERE revision = ?", (revision, present.revision))
    connection.execute(
        "INSERT INTO history (revision, type, grp, resource, namespace, name, value, previous, ended)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            revision,
            str(event.type),
            key.group,
            key.resource,
            key.namespace,
            key.name,
            event.stored.value,
            present.revision if present else None,
            revision if event.type is EventType.DELETED else None,
        ),
    )


def select(
    connection: sqlite3.Connection,
    kind: tuple[str, str],
    namespace: str | None,
    limit: int,
    after: Key | None,
    revision: int,
) -> Listing:
    """See `Store.list`. The caller has begun a read transaction."""
    newest = head(connection)
    at = revision or newest
    if at > newest or at < (oldest := compacted(connection)):
        raise Compacted(at, newest if at > newest else oldest)
    where = "grp = ? AND resource = ?"
    arguments: list[str | int] = [*kind]
    if namespace is not None:
        where += " AND namespace = ?"
        arguments.append(namespace)
    if after is not None:
        where += " AND (namespace, name) > (?, ?)"
        arguments += [after.namespace, after.name]
    columns = f"SELECT namespace, name, revision, value FROM history WHERE {where} AND revision <= ?"  # noqa: S608
    query = f"{columns} AND ended IS NULL"
    arguments.append(at)
    if at < newest:
        query += f" UNION ALL {columns} AND ended > ?"
        arguments += [*arguments, at]
    query += " ORDER BY namespace, name"
    if limit:
        query += " LIMIT ?"
        arguments.append(limit + 1)
    items = tuple(
        Stored(Key(*kind, row[0], row[1]), row[3], row[2]) for row in connection.execute(query, arguments)
    )
    more = bool(limit) and len(items) > limit
    return Listing(items[:limit] if more else items, at, more)


def changes(
    connection: sqlite3.Connection, after: int, kind: tuple[str, str] | None
) -> tuple[list[Event], int]:
    """Some changes after a revision, and the revision up to which these are all. The caller has begun a
    read transaction."""
    oldest = compacted(connection)
    if after < oldest:
        raise Compacted(after, oldest)
    newest = head(connection)
    query = (
        "SELECT h.revision, h.type, h.grp, h.resource, h.namespace, h.name, h.value, p.value"
        " FROM history h LEFT JOIN history p ON p.revision = h.previous WHERE h.revision > ?"
    )
    arguments: list[str | int] = [after]
    if kind is not None:
        query += " AND h.grp = ? AND h.resource = ?"
        arguments += kind
    query += " ORDER BY h.revision LIMIT ?"
    arguments.append(_BATCH)
    events = [
        Event(EventType(row[1]), Stored(Key(*row[2:6]), row[6], row[0]), row[7])
        for row in connection.execute(query, arguments)
    ]
    return events, events[-1].revision if len(events) == _BATCH else newest


def forget(connection: sqlite3.Connection, revision: int) -> int:
    """Drop the states that had ended at `revision`; returns the oldest complete revision now."""
    oldest = min(revision, head(connection) - 1)  # the newest row stays, see head()
    if oldest > compacted(connection):
        connection.execute("DELETE FROM history WHERE ended <= ?", (oldest,))
        connection.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (oldest,))
    return compacted(connection)
