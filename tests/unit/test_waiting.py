"""An event, an error, a time that is over and a cancellation, also when they come together."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import pytest
from tests.support.wait import PATIENCE

from tsujiban.waiting import apart, within

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


class Waker:
    """Wakes who waits as grpclib does: by a cancellation, in whose place it puts its error."""

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._error: Exception | None = None

    async def wait(self) -> None:
        self._task = asyncio.current_task()
        try:
            await asyncio.Event().wait()
        finally:
            if self._error is not None:
                raise self._error

    def wake(self) -> None:
        self._error = ConnectionError("lost")
        assert self._task is not None
        self._task.cancel()


async def test_what_is_done_apart_gives_and_raises_what_it_would() -> None:
    async def seven() -> int:
        return 7

    assert await apart(seven()) == 7
    waker = Waker()
    asyncio.get_running_loop().call_later(0.01, waker.wake)
    with pytest.raises(ConnectionError):
        await apart(waker.wait())


async def test_a_time_is_over_also_when_a_task_was_woken_by_a_cancellation_before() -> None:
    waker = Waker()

    async def twice() -> None:
        async with asyncio.timeout(0.02):
            asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, waker.wake)
            with pytest.raises(ConnectionError):
                await apart(waker.wait())
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await twice()


async def test_who_is_cancelled_while_a_task_is_woken_is_cancelled() -> None:
    """In whichever order, and however many turns the loop made between the two."""
    for turns in range(5):
        for swapped in (False, True):
            waker = Waker()
            task = asyncio.create_task(apart(waker.wait()))
            for _ in range(4):
                await asyncio.sleep(0)
            steps: list[Callable[[], object]] = [waker.wake, task.cancel]
            if swapped:
                steps.reverse()
            steps[0]()
            for _ in range(turns):
                await asyncio.sleep(0)
            ended = task.done()
            steps[1]()
            if not ended:
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                await asyncio.gather(task, return_exceptions=True)
