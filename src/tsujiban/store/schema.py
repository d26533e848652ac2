"""The SQLite file: where it may lie, how it is opened, its tables, and how they change over versions.

One table holds present and past. A row is one state of one object, from `revision` until `ended`
(NULL: still so). A deletion is a row that ended as it began. `previous` is the state before.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from pathlib import Path

from tsujiban.store.protocol import StoreUnavailable

# Script i takes a file from version i to i + 1 (PRAGMA user_version). Append only.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE history (
        revision INTEGER PRIMARY KEY,
        type TEXT NOT NULL CHECK (type IN ('ADDED', 'MODIFIED', 'DELETED')),
        grp TEXT NOT NULL,
        resource TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        value BLOB NOT NULL,
        previous INTEGER,
        ended INTEGER
    );
    CREATE UNIQUE INDEX present ON history (grp, resource, namespace, name) WHERE ended IS NULL;
    CREATE INDEX past ON history (ended) WHERE ended IS NOT NULL;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('compacted', 0);
    """,
)

QUICK_CHECK_BYTES = 256 * 1024 * 1024  # checked in about a second
REMEDY = "restore it from a backup (tsujiban restore)"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def reserve(path: Path) -> int:
    """Make the private directory (0700) and hold the store in it for this process: until the returned
    descriptor is closed, or the process ends.

    Raises:
        StoreUnavailable: the directory is not private, or another process holds the store.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _private_directory(path.parent)
        descriptor = os.open(f"{path}.lock", _FLAGS, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"cannot open the store {path}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreUnavailable(f"{path} is in use by another process; stop that one first") from None
    return descriptor


def prepare(path: Path) -> None:
    """Make the file (0600), and bring its tables to this version.

    Raises:
        StoreUnavailable: not a store, damaged, or written by a newer version.
    """
    try:
        os.close(os.open(path, _FLAGS, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StoreUnavailable(f"cannot open the store {path}: {error.strerror}") from None
    migrate(path)


def migrate(path: Path) -> None:
    """Bring a file's tables to this version, and look at it.

    Raises:
        StoreUnavailable: not a store, damaged, or written by a newer version.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        _migrate(connection, path)
        trouble = _damage(connection)
    except sqlite3.Error as error:
        trouble = str(error)
    finally:
        connection.close()
    if trouble:
        raise StoreUnavailable(f"{path} is not a usable store: {trouble}; {REMEDY}")


def version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of a file. Raises StoreUnavailable when a newer program wrote it."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > len(MIGRATIONS):
        raise StoreUnavailable(
            f"{path} has schema version {found}, this program knows {len(MIGRATIONS)}: use a newer tsujiban"
        )
    return found


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection for one thread, in autocommit mode: transactions are begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA synchronous = FULL")  # a commit returns when it is on the disk
    if read_only:
        connection.execute("PRAGMA query_only = 1")
    return connection


def _private_directory(directory: Path) -> None:
    status = directory.stat()
    if status.st_uid != os.geteuid():
        raise StoreUnavailable(f"{directory} belongs to uid {status.st_uid}, not to uid {os.geteuid()}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise StoreUnavailable(f"{directory} is open to others; do: chmod 0700 {directory}")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    before = version(connection, path)
    for number, script in enumerate(MIGRATIONS[before:], start=before + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")


def _damage(connection: sqlite3.Connection) -> str:
    """What `PRAGMA quick_check` finds first; "" for nothing. A large file is not asked: it takes long."""
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if pages * size > QUICK_CHECK_BYTES:
        return ""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    return "" if found == "ok" else str(found)
