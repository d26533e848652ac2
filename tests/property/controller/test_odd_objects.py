"""What the API stores ends no control loop, and can be shown: whatever somebody may write."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random

import msgspec
import pytest
from tests.support.oddobjects import Json, Odd

from tsujiban.controller.api import tables
from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.plane import Plane
from tsujiban.resources.registry import KINDS
from tsujiban.store.protocol import AlreadyExists, Key, NotFound
from tsujiban.store.sqlite import SqliteStore
from tsujiban.wire.messages import PROTOCOL_VERSION, Hello, ToNode

ROUNDS = int(os.environ.get("TSUJIBAN_FUZZ", "1"))
OBJECTS = 300
AS_TABLE = tables.negotiate("application/json;as=Table;v=v1;g=meta.k8s.io", "")


@pytest.mark.parametrize("seed", range(ROUNDS * 2))
def test_nothing_that_is_stored_ends_the_control_plane(tmp_path: Path, seed: int) -> None:
    asyncio.run(_story(tmp_path, seed))


async def _story(path: Path, seed: int) -> None:
    odd, random = Odd(seed), Random(seed)
    store = await SqliteStore.open(path / "state" / "store.db")
    plane = Plane(ControllerConfig(cluster="t", state_dir=str(path)), store, "bundle")
    plane.send = _heard
    running = asyncio.create_task(plane.run())
    try:
        await plane.loop.synced.wait()
        await plane.hello(
            "n1", Hello(node="n1", protocol=PROTOCOL_VERSION, addresses=("172.16.0.1",), version="1")
        )
        for _ in range(OBJECTS):
            kind = random.choice(KINDS)
            made = odd.stored(kind)
            if made is None:
                continue
            tables.table(kind, [_shown(made)], {"resourceVersion": "1"}, AS_TABLE)
            await _write(
                store, Key(kind.group, kind.plural, made["metadata"].get("namespace", ""), _name(made)), made
            )
            await _turn(plane, running, made)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()


async def _heard(_node: str, _message: ToNode) -> bool:
    return True


def _name(obj: Json) -> str:
    return str(obj["metadata"]["name"])


def _shown(obj: Json) -> Json:
    served = {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**obj, "metadata": {**obj["metadata"], **served}}


async def _write(store: SqliteStore, key: Key, obj: Json) -> None:
    """Make it, or make another one of what is there, or of what has just gone."""
    try:
        await store.create(key, msgspec.json.encode(obj))
    except AlreadyExists:
        try:
            await store.update(key, msgspec.json.encode(obj), None)
        except NotFound:
            return


async def _turn(plane: Plane, running: asyncio.Task[None], last: Json) -> None:
    """Wait until the loop has looked at it."""
    turned = asyncio.Event()

    async def turn() -> None:
        turned.set()

    asking = asyncio.ensure_future(plane.loop.submit(turn))
    waiting = asyncio.ensure_future(turned.wait())
    try:
        await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asking.cancel()
        waiting.cancel()
    assert not running.done(), (last, running.exception())
