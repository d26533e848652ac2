"""Several things at once: the parts of one connection, which end together, and work that is done to its end
though other work has failed."""

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


async def all_ended(*coroutines: Awaitable[object]) -> None:
    """Run all to their end, also when one fails, and only then raise the first exception: whoever tries again
    meets none of them still at work, as he would after `asyncio.gather`."""
    for outcome in await asyncio.gather(*coroutines, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
