from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.wait import PATIENCE

from tsujiban.store import schema, writer
from tsujiban.store.feed import Feed, Kind
from tsujiban.store.protocol import AlreadyExists, Create, Event, Key, StoreUnavailable
from tsujiban.store.writer import Writer

pytestmark = pytest.mark.anyio

MakeKey = Callable[..., Key]
MakeValue = Callable[..., bytes]


async def no_history(after: int, kind: Kind | None) -> tuple[Sequence[Event], int]:
    raise AssertionError((after, kind))


@pytest.fixture
async def connection(path: Path) -> AsyncIterator[sqlite3.Connection]:
    os.close(schema.reserve(path))
    schema.prepare(path)
    found = schema.connect(path)
    yield found
    found.close()


def rows(path: Path) -> int:
    return int(sqlite3.connect(path).execute("SELECT count(*) FROM history").fetchone()[0])


async def test_waiting_writes_share_commits(
    connection: sqlite3.Connection, key: MakeKey, value: MakeValue
) -> None:
    commits: list[str] = []
    connection.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    feed = Feed(0, no_history)
    writer = Writer(connection, "t", 1000, feed)
    await asyncio.gather(*(writer.write([Create(key(f"a{n}"), value())]) for n in range(200)))
    writer.close()
    assert feed.revision == 200
    assert len(commits) < 100


async def test_one_that_fails_does_not_hurt_its_group(
    connection: sqlite3.Connection, path: Path, key: MakeKey, value: MakeValue
) -> None:
    writer = Writer(connection, "t", 1000, Feed(0, no_history))
    operations = [
        [Create(key("a"), value())],
        [Create(key("b"), value()), Create(key("a"), value())],
        [Create(key("c"), value())],
    ]
    results = await asyncio.gather(*(writer.write(one) for one in operations), return_exceptions=True)
    writer.close()
    assert isinstance(results[1], AlreadyExists)
    assert not isinstance(results[0], Exception)
    assert not isinstance(results[2], Exception)
    assert rows(path) == 2


async def test_a_failed_commit_acknowledges_nothing_and_the_next_works(
    connection: sqlite3.Connection, path: Path, key: MakeKey, value: MakeValue
) -> None:
    feed = Feed(0, no_history)
    writer = Writer(connection, "t", 1000, feed)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")  # a full disk
    with pytest.raises(StoreUnavailable, match="cannot write"):
        await writer.write([Create(key("big"), value(x="y" * 100_000))])
    connection.execute("PRAGMA max_page_count = 1000000")
    (made,) = await writer.write([Create(key("a"), value())])
    writer.close()
    assert made is not None
    assert (made.revision, feed.revision, rows(path)) == (1, 1, 1)


async def test_a_cancelled_waiter_does_not_stop_the_write(
    connection: sqlite3.Connection, path: Path, key: MakeKey, value: MakeValue
) -> None:
    writer = Writer(connection, "t", 1000, Feed(0, no_history))
    task = asyncio.create_task(writer.write([Create(key("a"), value())]))
    await asyncio.sleep(0)
    task.cancel()
    await writer.write([Create(key("b"), value())])
    writer.close()
    assert rows(path) == 2


async def test_what_is_queued_is_finished_before_it_ends(
    connection: sqlite3.Connection, path: Path, key: MakeKey, value: MakeValue
) -> None:
    writer = Writer(connection, "t", 1000, Feed(0, no_history))
    tasks = [asyncio.create_task(writer.write([Create(key(f"a{n}"), value())])) for n in range(50)]
    await asyncio.sleep(0)
    await asyncio.to_thread(writer.close)
    await asyncio.gather(*tasks)
    assert rows(path) == 50
    with pytest.raises(StoreUnavailable, match="stopped"):
        await writer.write([Create(key("late"), value())])


async def test_a_write_that_comes_while_it_ends_is_refused_and_not_forgotten(
    connection: sqlite3.Connection, key: MakeKey, value: MakeValue, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(queue.SimpleQueue[Any]):
        """Between the question whether the thread has ended and what follows, it has time to."""

        def put(self, item: Any, *_: Any) -> None:
            super().put(None)
            made._thread.join(0.2)
            super().put(item)

    monkeypatch.setattr(writer, "queue", SimpleNamespace(SimpleQueue=Slow))
    made = Writer(connection, "t", 1000, Feed(0, no_history))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(StoreUnavailable):
            await made.write([Create(key("late"), value())])
