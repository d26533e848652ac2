"""Waiting for a condition, with a deadline, instead of sleeping for a guess."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return when `condition` is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # the condition belongs to code that signals no event
            await asyncio.sleep(0.002)
