"""The embedded store: one SQLite file, one writer thread, a few reader threads.

Readers use WAL snapshots and never wait for the writer. One process at a time may hold the file.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tsujiban.store import schema, sql
from tsujiban.store.feed import Feed, FeedWatch, Kind
from tsujiban.store.protocol import (
    Compacted,
    Event,
    Features,
    Health,
    Key,
    Listing,
    NotFound,
    Operation,
    Stored,
    StoreUnavailable,
)
from tsujiban.store.single import SingleWrites
from tsujiban.store.writer import Results, Writer

T = TypeVar("T")

KEPT_REVISIONS = 10_000
_READERS = 3


class SqliteStore(SingleWrites):
    """A `Store` in one file. Make it with `open`."""

    def __init__(self, path: Path, lock: int, kept_revisions: int) -> None:
        self._path = path
        self._lock = lock
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(_READERS, "store-reader", self._open_reader)
        connection = schema.connect(path)
        self._connections.append(connection)
        self._feed = Feed(sql.head(connection), self._history)
        self._writer = Writer(connection, str(path), kept_revisions, self._feed)

    @classmethod
    async def open(cls, path: Path, *, kept_revisions: int = KEPT_REVISIONS) -> SqliteStore:
        """Open the store at `path`, make it if there is none. About `kept_revisions` changes are kept for
        watches; older ones are forgotten as new ones come.

        Raises:
            StoreUnavailable: in use by another process, not private, damaged, or of a newer version.
        """
        opener = ThreadPoolExecutor(1, "store-opener")
        opening = opener.submit(_reserve, path)
        opener.shutdown(wait=False)
        try:
            lock = await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_let_go)  # the thread goes on
            raise
        try:
            return cls(path, lock, kept_revisions)
        except BaseException:
            os.close(lock)
            raise

    features = Features(transactions=True, past=True)

    # ------------------------------------------------------------ reading

    async def get(self, key: Key) -> Stored:
        """See `Store.get`."""
        stored = await self._read(lambda connection: sql.find(connection, key))
        if stored is None:
            raise NotFound(key)
        return stored

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
        """See `Store.list`."""
        return await self._read(
            lambda connection: sql.select(connection, (group, resource), namespace, limit, after, revision)
        )

    async def revision(self) -> int:
        """See `Store.revision`."""
        return await self._read(sql.head)

    async def watch(self, after: int, group: str | None = None, resource: str | None = None) -> FeedWatch:
        """See `Store.watch`."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if after < self._writer.compacted:
            raise Compacted(after, self._writer.compacted)
        if after > self._feed.revision and after > (newest := await self.revision()):
            raise Compacted(after, newest)
        kind = None if group is None or resource is None else (group, resource)
        return FeedWatch(self._feed, after, kind)

    async def _history(self, after: int, kind: Kind | None) -> tuple[Sequence[Event], int]:
        return await self._read(lambda connection: sql.changes(connection, after, kind))

    def _open_reader(self) -> None:
        connection = schema.connect(self._path, read_only=True)
        self._local.connection = connection
        self._connections.append(connection)

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await self._loop.run_in_executor(self._readers, self._snapshot, query)

    def _snapshot(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection = self._local.connection
        try:
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"cannot read {self._path}: {error}") from None

    # ------------------------------------------------------------ writing

    async def transaction(self, operations: Sequence[Operation]) -> Results:
        """See `Store.transaction`."""
        return await self._open_writer().write(tuple(operations))

    async def compact(self, revision: int) -> None:
        """See `Store.compact`."""
        await self._open_writer().compact(revision)

    async def health(self) -> tuple[Health, ...]:
        """See `Store.health`."""
        version = f"SQLite {sqlite3.sqlite_version}"
        try:
            size, revision = self._path.stat().st_size, await self.revision()
        except (OSError, StoreUnavailable) as error:
            return (Health(name="store", healthy=False, version=version, detail=str(error)),)
        trouble = self._writer.trouble
        detail = trouble or f"revision {revision}, {size / 1e6:.1f} MB"
        return (Health(name="store", healthy=not trouble, version=version, detail=detail),)

    async def close(self) -> None:
        """See `Store.close`."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writer.close)
        self._feed.close()
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._connections:
            connection.close()
        os.close(self._lock)

    def _open_writer(self) -> Writer:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return self._writer


def _reserve(path: Path) -> int:
    """The lock of a store that can be used."""
    lock = schema.reserve(path)
    try:
        schema.prepare(path)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _let_go(opening: Future[int]) -> None:
    """Of a store that nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result())
