"""Plays the acts: brings up a cluster, records what comes out, and always cleans up."""

from __future__ import annotations

import asyncio
import subprocess
import time

from tsujiban.local.client import ApiError
from tsujiban.local.cluster import LocalCluster, NotRunning
from tsujiban.local.demo.capture import Capture
from tsujiban.local.demo.hands import DemoError
from tsujiban.local.demo.programme import PROGRAMME, Act
from tsujiban.local.demo.record import ActRecord, Record
from tsujiban.local.demo.show import Show
from tsujiban.local.demo.stage import Stage
from tsujiban.local.demo.steal import StealError
from tsujiban.local.demo.world import World
from tsujiban.local.unreachable import Unreachable
from tsujiban.resources.names import fabric_namespace

POD_NETWORK = "10.244.0.0/16"
ACT_SECONDS = 300.0
TROUBLES = (
    DemoError,
    StealError,
    Unreachable,
    ApiError,
    NotRunning,
    OSError,
    ValueError,
    subprocess.CalledProcessError,
)


async def play(cluster: LocalCluster, show: Show, mesh: str = "sidecar") -> Record:
    """Play all acts on a running, empty cluster; `mesh` says how its pods take part. An act that fails does
    not end the evening."""
    record = Record()
    started = time.monotonic()
    with (
        Capture(fabric_namespace(cluster.layout.cluster), POD_NETWORK) as capture,
        cluster.client() as client,
    ):
        world = World(cluster, client, capture, mesh)
        for number, act in enumerate(PROGRAMME, 1):
            record.acts.append(await _play(number, act, world, show))
            if number == 1 and not record.ok:
                break  # without a bank there is nothing to attack
    record.seconds = time.monotonic() - started
    return record


async def _play(number: int, act: Act, world: World, show: Show) -> ActRecord:
    record = ActRecord(number=number, title=act.title)
    show.begins(record, act.story)
    started = time.monotonic()
    try:
        async with asyncio.timeout(ACT_SECONDS):
            await act.play(world, Stage(record, show))
    except TimeoutError:
        record.error = f"not over after {ACT_SECONDS:.0f} s"
    except TROUBLES as error:
        record.error = f"{error}"
    record.seconds = time.monotonic() - started
    show.ended(record)
    return record
