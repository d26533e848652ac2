"""When a proxy whose pod has ended has passed on all that it had.

The containers are gone, so nothing new comes from them. What an Envoy holds of their last answers is on its
way into sockets, and while it holds anything for one, that one is full. So it has nothing left when no socket
of the pod's has bytes waiting, and no byte has passed for a moment, which is longer than Envoy keeps its
records (0.1 s). Connections that are merely open, as tunnels are kept for the next one, are not waited for.

What cannot be seen from here is what the client's own proxy holds for a client that reads slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from tsujiban.proxy import sockdiag

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1
QUIET_SECONDS = 0.3
PATIENCE_SECONDS = 3.0  # with bytes that nobody takes: what policy has ended is never acknowledged


async def until_quiet(namespace: str, left: Callable[[], float]) -> bool:
    """Wait until nothing moves on the connections of the network namespace at `namespace`, for as long as
    `left` says (seconds; it may change). Whether it was quiet, or nobody could tell."""
    before: sockdiag.Traffic | None = None
    still = 0
    while True:
        try:
            now = await asyncio.to_thread(sockdiag.traffic, namespace)
        except OSError as error:  # it is gone, and with it all that could be waited for
            log.info("nothing to wait for", namespace=namespace, reason=str(error))
            return True
        still = still + 1 if now == before else 0
        if not now.moved or (not now.queued and still >= round(QUIET_SECONDS / LOOK_SECONDS)):
            return True
        if left() <= 0 or still >= round(PATIENCE_SECONDS / LOOK_SECONDS):
            return not now.queued
        before = now
        await asyncio.sleep(LOOK_SECONDS)
