"""Work on large objects, beside everything else.

To tell who manages which of sixty thousand fields takes seconds of processor. On the event loop they would be
seconds in which nobody else is answered and no node heard; so they pass in a thread, one object at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

LARGE = 128 * 1024  # bytes; below it is less work than to change threads

P = ParamSpec("P")
T = TypeVar("T")

_WORKER = ThreadPoolExecutor(1, "large-objects")


async def worked(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` gives, which has no part in the event loop; `size` in bytes is how much there is to do."""
    if size < LARGE:
        return work(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_WORKER, lambda: work(*args, **kwargs))
