"""A process that writes to a store as fast as it can and says what was acknowledged; made to be killed.

Each round creates two objects in one transaction, updates a counter, and sometimes deletes a pair.
A line on standard output is written after the acknowledgement, never before.

The process that is started waits for lines "PATH START" on standard input and forks the writer: a thousand
kills need not be a thousand starts of Python. It says "writer PID" before, and "dead" when that one is gone.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from tsujiban.store.protocol import Create, Delete, Key
from tsujiban.store.sqlite import SqliteStore

WORKERS = 8


def pair(worker: int, number: int) -> tuple[Key, Key]:
    return Key("", "pods", "left", f"w{worker}-{number}"), Key("", "pods", "right", f"w{worker}-{number}")


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


async def work(store: SqliteStore, worker: int, start: int) -> None:
    for number in range(start, start + 1_000_000):
        keys = pair(worker, number)
        value = msgspec.json.encode({"metadata": {"name": keys[0].name}, "spec": {"fill": "x" * 500}})
        made = await store.transaction([Create(key, value) for key in keys])
        say(f"made {worker} {number} {max(one.revision for one in made if one)}")
        if number % 5 == 4:
            gone = await store.transaction([Delete(key) for key in keys])
            say(f"gone {worker} {number} {max(one.revision for one in gone if one)}")


async def write(path: Path, start: int) -> None:
    store = await SqliteStore.open(path, kept_revisions=300)
    say("open")
    await asyncio.gather(*(work(store, worker, start) for worker in range(WORKERS)))


def main() -> None:
    for line in sys.stdin:
        path, start = line.split()
        child = os.fork()
        if child == 0:
            asyncio.run(write(Path(path), int(start)))
            os._exit(0)
        say(f"writer {child}")
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main()
