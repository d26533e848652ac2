"""Waiting for a condition, with a deadline, instead of sleeping for a guess."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# How long a test waits for what must come true in the end. It is no assertion about speed: a machine whose
# cores are others' may stand still for seconds, again and again; one that gets on never waits so long.
PATIENCE = 90.0


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Return when `condition` is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # the condition belongs to code that signals no event
            await asyncio.sleep(0.002)
