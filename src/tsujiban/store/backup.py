"""A copy of the embedded store taken while it is in use, and a store made from such a copy.

A restored store knows nothing of what was written after its backup, but clients do: so its revisions go on
far behind all that were ever given out, and all that clients remember is `Compacted` (HTTP 410).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tsujiban.store import schema, sql
from tsujiban.store.protocol import StoreUnavailable

LEAP = 1_000_000  # revisions that may have been given out since the backup, when nobody can tell

Progress = Callable[[str], None]


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a store."""

    revision: int
    objects: int
    schema: int


def copy(source: Path, target: Path) -> Contents:
    """Write the store as it is now to `target`, which must not exist; mode 0600. The store may be in use:
    neither readers nor writers of it wait.

    Raises:
        StoreUnavailable: there is no store, or no copy can be written.
    """
    if not source.is_file():
        raise StoreUnavailable(f"there is no store at {source}")
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        reader, writer = sqlite3.connect(source, timeout=10), sqlite3.connect(target)
        try:
            reader.execute("PRAGMA query_only = 1")
            reader.backup(writer)  # in one step: of one moment, however much is written meanwhile
            writer.execute("PRAGMA journal_mode = DELETE")  # one file, complete in itself
        finally:
            writer.close()
            reader.close()
        return examine(target)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise StoreUnavailable(f"cannot copy {source} to {target}: {error}") from error


def examine(path: Path) -> Contents:
    """Check a store that nobody uses, thoroughly.

    Raises:
        StoreUnavailable: damaged, no store, or of a newer version.
    """
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        trouble = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if trouble != "ok":
            raise StoreUnavailable(f"{path} is damaged: {trouble}")
        version = schema.version(connection, path)
        if not version:
            raise StoreUnavailable(f"{path} is not a store of this program")
        present = connection.execute("SELECT count(*) FROM history WHERE ended IS NULL").fetchone()[0]
        return Contents(revision=sql.head(connection), objects=present, schema=version)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path} is not a usable store: {error}") from error
    finally:
        connection.close()


def adopt(source: Path, target: Path, progress: Progress) -> Path | None:
    """Make the store at `target` from a copy; returns where the store that was there before is now.

    Raises:
        StoreUnavailable: the store is in use, or the copy is not usable; nothing was changed.
    """
    lock = schema.reserve(target)
    try:
        contents = examine(source)
        progress(f"the backup is whole: {contents.objects} objects at revision {contents.revision}")
        fresh = target.with_name(f"{target.name}.restoring")
        fresh.unlink(missing_ok=True)
        copy(source, fresh)
        schema.migrate(fresh)
        _begin_anew(fresh, max(contents.revision, _last_revision(target)) + LEAP)
        aside = _put_aside(target)
        fresh.replace(target)
        _sync(target.parent)
        return aside
    finally:
        os.close(lock)


def _last_revision(path: Path) -> int:
    """The newest revision of a store, however damaged; 0 when it cannot tell."""
    if not path.exists():
        return 0
    try:
        connection = sqlite3.connect(path, timeout=10)
        try:
            return sql.head(connection)
        finally:
            connection.close()
    except sqlite3.Error:
        return 0


def _begin_anew(path: Path, revision: int) -> None:
    """Forget all history, and go on after `revision`."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM history WHERE ended IS NOT NULL")
        connection.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (revision,))
        connection.execute("COMMIT")
    finally:
        connection.close()


def _put_aside(path: Path) -> Path | None:
    """Rename a store and what belongs to it."""
    if not path.exists():
        return None
    aside = path.with_name(f"{path.name}.before-restore-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    for suffix in ("-wal", "-shm", ""):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.replace(f"{aside}{suffix}")
    return aside


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
