"""Waiting, but not for ever, and never against a cancellation.

`asyncio.wait_for` of Python 3.11 returns what it waited for, and so swallows the cancellation of its task,
when both come in the same turn of the loop: a pod's task that was poked while its pod was removed went on,
and the pod never ended. `asyncio.timeout` has no such gap; ruff refuses `wait_for` in the product.
Source: CPython issue 86296, mended in 3.12.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def within(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait until `event` is set, at most so many seconds (None: without end); whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives or raises, done by a task of its own, which is cancelled with the caller's.

    For libraries that cancel tasks to tell them of errors, as grpclib does of a lost connection and of a
    deadline. They never take that back (`Task.uncancel`), so that an `asyncio.timeout` or TaskGroup around
    the call takes its own cancellation for somebody else's, and lets CancelledError out; and they put their
    error in the place of a cancellation that comes in the same turn.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    return task.result()
