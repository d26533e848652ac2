"""An event, a time that is over and a cancellation, also when they come together."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import pytest
from tests.support.wait import PATIENCE

from tsujiban.waiting import within

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_it_says_whether_the_event_came() -> None:
    event = asyncio.Event()
    assert not await within(event, 0.001)
    asyncio.get_running_loop().call_soon(event.set)
    assert await within(event, PATIENCE)
    assert await within(event, 0)
    assert await within(event, math.inf)
    assert await within(event, None)


async def test_who_is_cancelled_while_the_event_comes_is_cancelled() -> None:
    """In whichever order, and however many turns the loop made between the two."""
    for turns in range(5):
        for swapped in (False, True):
            event = asyncio.Event()
            task = asyncio.create_task(within(event, PATIENCE))
            for _ in range(3):
                await asyncio.sleep(0)
            steps: list[Callable[[], object]] = [event.set, task.cancel]
            if swapped:
                steps.reverse()
            steps[0]()
            for _ in range(turns):
                await asyncio.sleep(0)
            ended = task.done()  # the event came long enough before the cancellation
            steps[1]()
            if not ended:
                with pytest.raises(asyncio.CancelledError):
                    await task
