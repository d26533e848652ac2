"""The one thread that writes: group commit.

Writes queue up while the disk works and are then committed together, each in its own savepoint, so
that concurrent writers share one fsync. A write is answered after its commit; its changes reach the
watches in the same step of the event loop, before the answer.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Sequence

from tsujiban.store import sql
from tsujiban.store.feed import Feed
from tsujiban.store.protocol import Event, Operation, Stored, StoreError, StoreUnavailable

Results = tuple[Stored | None, ...]
_Future = asyncio.Future[Results]
_Answer = tuple[_Future, Results | StoreError]

_GROUP = 256


class _Write:
    def __init__(self, operations: Sequence[Operation], future: _Future) -> None:
        self.operations = operations
        self.future = future


class _Compaction:
    def __init__(self, revision: int, future: _Future) -> None:
        self.revision = revision
        self.future = future


_Request = _Write | _Compaction


class Writer:
    """Owns `connection` until `close`; publishes to `feed` in the event loop that it was made in.
    Keeps about `kept` revisions of history."""

    def __init__(self, connection: sqlite3.Connection, name: str, kept: int, feed: Feed) -> None:
        self.compacted = sql.compacted(connection)
        self.trouble = ""  # why the last commit failed; empty when it did not
        self._connection = connection
        self._name = name
        self._kept = kept
        self._feed = feed
        self._head = feed.revision
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._stopped = False
        self._ending = threading.Lock()  # between the last look at the queue and the first refusal
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, operations: Sequence[Operation]) -> Results:
        """Do the operations together; returns when they are durable. See `Store.transaction`."""
        future: _Future = self._loop.create_future()
        return await self._submit(_Write(operations, future))

    async def compact(self, revision: int) -> None:
        """See `Store.compact`."""
        future: _Future = self._loop.create_future()
        await self._submit(_Compaction(revision, future))

    def close(self) -> None:
        """Finish what is queued and end the thread. Blocks."""
        self._queue.put(None)
        self._thread.join()

    async def _submit(self, request: _Request) -> Results:
        with self._ending:
            if self._stopped:
                raise StoreUnavailable(f"nothing can be written to {self._name}: its writer has stopped")
            self._queue.put(request)
        return await request.future

    # ------------------------------------------------------------ in the thread

    def _run(self) -> None:
        group: list[_Request | None] = []
        try:
            while None not in group:
                group = [self._queue.get()]
                while len(group) < _GROUP and not self._queue.empty():
                    group.append(self._queue.get())
                self._serve([request for request in group if request is not None])
        finally:
            self._abandon([request for request in group if request is not None])

    def _serve(self, group: list[_Request]) -> None:
        writes = [request for request in group if isinstance(request, _Write)]
        if writes:
            self._post(*self._commit(writes))
        wanted = [request for request in group if isinstance(request, _Compaction)]
        if wanted or self._head - self.compacted > self._kept + self._kept // 10:
            self._forget(wanted)

    def _commit(self, writes: list[_Write]) -> tuple[list[_Answer], list[Event]]:
        """One durable commit of as many of the writes as can be done."""
        answers: list[_Answer] = []
        events: list[Event] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in writes:
                answer, changes = self._attempt(write.operations, self._head + len(events) + 1)
                answers.append((write.future, answer))
                events += changes
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            self.trouble = _trouble(self._name, error)
            return [(write.future, StoreUnavailable(self.trouble)) for write in writes], []
        self.trouble = ""
        self._head += len(events)
        return answers, events

    def _attempt(
        self, operations: Sequence[Operation], revision: int
    ) -> tuple[Results | StoreError, list[Event]]:
        self._connection.execute("SAVEPOINT attempt")
        try:
            outcome = sql.execute(self._connection, operations, revision)
        except StoreError as error:
            self._connection.execute("ROLLBACK TO attempt")
            self._connection.execute("RELEASE attempt")
            return error, []
        self._connection.execute(
            "RELEASE attempt"
        )  # not after an error of SQLite's: a full disk ends them all
        return tuple(outcome.results), outcome.events

    def _forget(self, wanted: list[_Compaction]) -> None:
        target = max([request.revision for request in wanted] or [self._head - self._kept])
        answer: Results | StoreError = ()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            oldest = sql.forget(self._connection, target)
            self._connection.execute("COMMIT")
            self.compacted = oldest
        except sqlite3.Error as error:
            self._undo()
            answer = StoreUnavailable(f"cannot compact {self._name}: {error}")
        self._post([(request.future, answer) for request in wanted], [])

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _abandon(self, group: list[_Request]) -> None:
        """The thread ends: whoever still waits must not wait for ever."""
        with self._ending:
            self._stopped = True
            while not self._queue.empty():
                request = self._queue.get()
                if request is not None:
                    group.append(request)
        failure = StoreUnavailable(f"{self._name} was closed before this was written")
        self._post([(request.future, failure) for request in group], [])

    def _post(self, answers: list[_Answer], events: list[Event]) -> None:
        if not self._loop.is_closed():  # or nobody is left to be answered
            self._loop.call_soon_threadsafe(self._deliver, answers, events)

    # ------------------------------------------------------------ in the event loop

    def _deliver(self, answers: list[_Answer], events: list[Event]) -> None:
        self._feed.publish(events)
        for future, answer in answers:
            if future.done():  # its waiter was cancelled, or it was answered before the writer ended
                continue
            if isinstance(answer, StoreError):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def _trouble(name: str, error: sqlite3.Error) -> str:
    """What went wrong, and what a person can do about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    advice = {
        sqlite3.SQLITE_FULL: "; the disk is full: free some space, nothing that was acknowledged is lost",
        sqlite3.SQLITE_READONLY: "; the file or its disk has become read-only",
        sqlite3.SQLITE_CORRUPT: "; the file is damaged: stop the cluster and `tsujiban restore` a backup",
        sqlite3.SQLITE_IOERR: "; the disk fails: look at the kernel's log",
    }.get(code, "")
    return f"cannot write {name}: {error}{advice}"
