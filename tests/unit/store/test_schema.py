from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from tsujiban.store import schema
from tsujiban.store.protocol import StoreUnavailable


def prepared(path: Path) -> None:
    os.close(schema.reserve(path))
    schema.prepare(path)


def test_commits_wait_for_the_disk(path: Path) -> None:
    prepared(path)
    connection = schema.connect(path)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_readers_cannot_write(path: Path) -> None:
    prepared(path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        schema.connect(path, read_only=True).execute("DELETE FROM history")


def test_preparing_again_changes_nothing(path: Path) -> None:
    prepared(path)
    prepared(path)
    assert schema.connect(path).execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)


def test_an_older_file_is_migrated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(path)
    step = "CREATE TABLE extra (x INTEGER); INSERT INTO extra VALUES (7);"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    prepared(path)
    assert schema.connect(path).execute("SELECT x FROM extra").fetchone() == (7,)


def test_a_migration_that_fails_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(path)
    broken = "CREATE TABLE extra (x INTEGER); INSERT INTO nowhere VALUES (7);"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    with pytest.raises(StoreUnavailable):
        prepared(path)
    monkeypatch.undo()
    prepared(path)
    assert (
        schema.connect(path).execute("SELECT name FROM sqlite_master WHERE name = 'extra'").fetchone() is None
    )


def test_a_newer_file_is_refused(path: Path) -> None:
    prepared(path)
    schema.connect(path).execute("PRAGMA user_version = 99")
    with pytest.raises(StoreUnavailable, match="newer"):
        prepared(path)


def test_what_is_no_store_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"not a database" * 1000)
    path.chmod(0o600)
    with pytest.raises(StoreUnavailable, match="not a usable store"):
        prepared(path)


def test_an_open_directory_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    with pytest.raises(StoreUnavailable, match="chmod 0700"):
        prepared(path)


def test_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable):
        prepared(path)
    assert not (tmp_path / "elsewhere").exists()
