"""When the control loop looks again at what changes by the clock alone: a deadline, a schedule.

Each planner says of each object when it wants to be asked again; only the next such moment is waited for,
so ten thousand objects that wait cost nothing. Times are the wall clock's, since schedules are: a clock that
is set is noticed within `LOOK_SECONDS`.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Awaitable, Callable

from tsujiban.controller.loop import Work
from tsujiban.waiting import within

LOOK_SECONDS = 10.0
Ring = Callable[[list[Work]], Awaitable[None]]


class Alarms:
    """One moment for each piece of work. Run `run` as a task."""

    def __init__(self, ring: Ring, clock: Callable[[], float] = time.time) -> None:
        self._ring = ring
        self._clock = clock
        self._at: dict[Work, float] = {}
        self._heap: list[tuple[float, Work]] = []  # holds what was replaced, too
        self._earlier = asyncio.Event()

    def set(self, work: Work, at: float) -> None:
        """Have the work done at this time, and not at the one that was set before; infinity: never."""
        if self._at.get(work, math.inf) == at:
            return
        if at == math.inf:
            del self._at[work]
            return
        self._at[work] = at
        heapq.heappush(self._heap, (at, work))
        if self._heap[0][1] == work:
            self._earlier.set()

    def due(self) -> list[Work]:
        """What is to be done now; it is forgotten."""
        now, found = self._clock(), []
        while self._heap and (self._heap[0][0] <= now or self._stale()):
            at, work = heapq.heappop(self._heap)
            if self._at.get(work) == at:
                del self._at[work]
                found.append(work)
        return found

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._earlier.clear()
            if found := self.due():
                await self._ring(found)
            wait = self._heap[0][0] - self._clock() if self._heap else math.inf
            await within(self._earlier, max(0.0, min(wait, LOOK_SECONDS)))

    def _stale(self) -> bool:
        at, work = self._heap[0]
        return self._at.get(work) != at
