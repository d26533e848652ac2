"""kill -9 under load, many times: every acknowledged write is there, none is half there."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.storewriter import pair
from tests.support.wait import PATIENCE

from tsujiban.store.protocol import Key
from tsujiban.store.sqlite import SqliteStore

pytestmark = [pytest.mark.system, pytest.mark.anyio]

KILLS = int(os.environ.get("TSUJIBAN_KILLS", "15"))
PER_STORE = 25  # then a new file: looking at everything after each kill must not grow without end


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Mother:
    """The process whose children are killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._say = process.stdin
        self._hear = process.stdout

    async def run_and_kill(self, path: Path, start: int, seed: int) -> list[list[str]]:
        """Lines that the writer managed to say before it was killed."""
        self._say.write(f"{path} {start}\n".encode())
        wanted = random.Random(seed).randrange(1, 300)
        lines: list[list[str]] = []
        child = 0
        async with asyncio.timeout(PATIENCE):
            while (line := (await self._hear.readline()).decode().split()) != ["dead"]:
                assert line, "the writers' mother is dead"
                if line[0] == "writer":
                    child = int(line[1])
                else:
                    lines.append(line)
                if child and len(lines) >= wanted:
                    os.kill(child, signal.SIGKILL)
                    wanted = sys.maxsize
        return lines


@pytest.fixture
async def mother() -> AsyncIterator[Mother]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.storewriter",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    yield Mother(process)
    process.kill()
    await process.wait()


async def present(path: Path) -> tuple[set[Key], int]:
    store = await SqliteStore.open(path, kept_revisions=300)
    listing = await store.list("", "pods")
    revisions = [item.revision for item in listing.items]
    assert len(set(revisions)) == len(revisions)
    assert max(revisions, default=0) <= listing.revision
    await check_history(store, listing.revision)
    await store.close()
    return {item.key for item in listing.items}, listing.revision


async def check_history(store: SqliteStore, newest: int) -> None:
    """The kept history has no gap: a watch could go on through the crash."""
    watch = await store.watch(max(0, newest - 300))
    last = watch.revision
    while last < newest:
        for event in await watch.next():
            assert event.revision == last + 1
            last = event.revision


@pytest.mark.timeout(120 + 10 * KILLS)
async def test_kill_nine_loses_nothing_acknowledged(mother: Mother, tmp_path: Path) -> None:
    acknowledged = 0
    for begin in range(0, KILLS, PER_STORE):
        attempts = range(begin, min(KILLS, begin + PER_STORE))
        acknowledged += await kill_again_and_again(mother, tmp_path / f"state-{begin}" / "store.db", attempts)
    assert acknowledged > KILLS


async def kill_again_and_again(mother: Mother, path: Path, attempts: range) -> int:
    """How many writes were acknowledged."""
    expected: dict[tuple[int, int], str] = {}
    newest = 0
    for attempt in attempts:
        said = await mother.run_and_kill(path, attempt * 1_000_000, attempt)
        assert said[0] == ["open"]
        for what, worker, number, revision in said[1:]:
            expected[int(worker), int(number)] = what
            newest = max(newest, int(revision))
        keys, head = await present(path)
        assert head >= newest
        newest = head
        for identity, what in expected.items():
            left, right = pair(*identity)
            assert (left in keys) == (right in keys), f"{identity} is half there"
            if what == "gone":
                assert left not in keys, f"{identity} came back"
            elif identity[1] % 5 != 4:  # those may have been deleted, unacknowledged
                assert left in keys, f"{identity} was acknowledged and is lost"
        for key in keys:
            assert (
                Key(key.group, key.resource, "right" if key.namespace == "left" else "left", key.name) in keys
            )
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return len(expected)
