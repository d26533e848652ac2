from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tsujiban.store import schema, sql
from tsujiban.store.protocol import Check, Compacted, Create, Delete, Key, NotFound, Operation, Update

MakeKey = Callable[..., Key]
MakeValue = Callable[..., bytes]


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    os.close(schema.reserve(path))
    schema.prepare(path)
    found = schema.connect(path)
    yield found
    found.close()


def test_execute_numbers_the_changes(connection: sqlite3.Connection, key: MakeKey, value: MakeValue) -> None:
    sql.execute(connection, [Create(key("a"), value()), Create(key("b"), value())], 1)
    operations: list[Operation] = [
        Create(key("c"), value()),
        Update(key("b"), value(spec=1), None),
        Delete(key("a")),
    ]
    outcome = sql.execute(connection, operations, 3)
    assert [event.revision for event in outcome.events] == [3, 4, 5]
    assert sql.head(connection) == 5
    assert sql.find(connection, key("a")) is None


def test_check_of_presence(connection: sqlite3.Connection, key: MakeKey, value: MakeValue) -> None:
    with pytest.raises(NotFound):
        sql.execute(connection, [Check(key("a"))], 1)
    sql.execute(connection, [Create(key("a"), value()), Check(key("a"))], 1)


def test_the_newest_row_is_never_forgotten(
    connection: sqlite3.Connection, key: MakeKey, value: MakeValue
) -> None:
    sql.execute(connection, [Create(key("a"), value())], 1)
    sql.execute(connection, [Delete(key("a"))], 2)
    assert sql.forget(connection, 100) == 1
    assert sql.head(connection) == 2
    with pytest.raises(Compacted):
        sql.changes(connection, 0, None)
    assert len(sql.changes(connection, 1, None)[0]) == 1


def test_the_present_is_found_by_its_index(connection: sqlite3.Connection) -> None:
    query = "EXPLAIN QUERY PLAN SELECT value FROM history WHERE grp = '' AND resource = '' AND ended IS NULL"
    plan = " ".join(str(row) for row in connection.execute(query))
    assert "USING INDEX present" in plan
