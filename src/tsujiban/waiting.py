"""Waiting for an event, but not for ever, and never against a cancellation.

`asyncio.wait_for` of Python 3.11 returns what it waited for, and so swallows the cancellation of its task,
when both come in the same turn of the loop: a pod's task that was poked while its pod was removed went on,
and the pod never ended. `asyncio.timeout` has no such gap; ruff refuses `wait_for` in the product.
Source: CPython issue 86296, mended in 3.12.
"""

from __future__ import annotations

import asyncio


async def within(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait until `event` is set, at most so many seconds (None: without end); whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
