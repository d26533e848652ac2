"""The parts of one connection, which end together: the first that fails ends the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def first_failure(*coroutines: Awaitable[object]) -> None:
    """Run all until one ends, then cancel the others and raise its exception, bare (no group)."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
