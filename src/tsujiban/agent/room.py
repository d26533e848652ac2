"""Looks after the room in the node's table of connections (`kernel.room`), once a second.

When the table is more than half full, looking means reading it, so what that costs is kept below a fifth of
the time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from tsujiban.kernel.netlink import InterruptedDumpError
from tsujiban.kernel.nflog import Owners
from tsujiban.kernel.nft import NftError
from tsujiban.kernel.room import Room

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
_PART = 5  # of the time


async def keep(owners: Callable[[], Owners], make: Callable[[], Room] = Room) -> None:
    """Until cancelled. `owners` tells whose program decides where, as in force."""
    before: frozenset[str] = frozenset()
    pause = LOOK_SECONDS
    room: Room | None = None
    while True:
        await asyncio.sleep(pause)
        begun = time.monotonic()
        try:
            room = room or make()
            crowded = await asyncio.to_thread(room.look, owners())
        except (NftError, OSError, InterruptedDumpError) as error:
            log.error("who holds how many connections cannot be told", reason=str(error))
            crowded = before
        if crowded != before:
            named = owners().interfaces
            log.warning(
                "the node's table of connections is more than half full; who holds most opens no more",
                pods=sorted(named.get(one, one) for one in crowded),
            )
            before = crowded
        pause = max(LOOK_SECONDS, _PART * (time.monotonic() - begun))
