"""The loop is called when it wanted to be, and not when it has changed its mind."""

from __future__ import annotations

import asyncio
import math

from tests.support.wait import PATIENCE

from tsujiban.controller.alarms import Alarms
from tsujiban.controller.loop import Work
from tsujiban.controller.world import Ref


def work(name: str) -> Work:
    return "job", Ref("batch", "jobs", "default", name)


async def nobody(_works: list[Work]) -> None:
    return None


def test_what_is_due_comes_once_in_its_order() -> None:
    now = 0.0
    alarms = Alarms(nobody, lambda: now)
    alarms.set(work("b"), 5)
    alarms.set(work("a"), 3)
    alarms.set(work("c"), 9)
    assert alarms.due() == []
    now = 5.0
    assert alarms.due() == [work("a"), work("b")]
    assert alarms.due() == []


def test_the_last_word_counts() -> None:
    now = 0.0
    alarms = Alarms(nobody, lambda: now)
    alarms.set(work("later"), 3)
    alarms.set(work("later"), 8)
    alarms.set(work("never"), 3)
    alarms.set(work("never"), math.inf)
    alarms.set(work("never"), math.inf)
    alarms.set(work("sooner"), 9)
    alarms.set(work("sooner"), 4)
    now = 5.0
    assert alarms.due() == [work("sooner")]
    now = 10.0
    assert alarms.due() == [work("later")]


def test_it_rings_at_once_when_something_is_set_that_is_due() -> None:
    asyncio.run(_rung())


async def _rung() -> None:
    rung: asyncio.Queue[list[Work]] = asyncio.Queue()
    alarms = Alarms(rung.put)
    task = asyncio.create_task(alarms.run())
    await asyncio.sleep(0)
    alarms.set(work("far"), 1e12)
    alarms.set(work("a"), 1.0)
    assert await asyncio.wait_for(rung.get(), PATIENCE) == [work("a")]
    alarms.set(work("b"), 1.0)
    assert await asyncio.wait_for(rung.get(), PATIENCE) == [work("b")]
    task.cancel()
