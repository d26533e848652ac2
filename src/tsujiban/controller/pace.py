"""How often statuses are written: what matters at once, progress now and then, and never more than the store
should bear.

A cluster of a hundred nodes acknowledges each policy a hundred times, and every pod that comes or goes
changes how many endpoints some policies select. Written each time, that would be most of what the store does.
Pure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tsujiban.controller.world import Ref

PER_SECOND = 300  # writes, all together
GAP_SECONDS = 2.0  # between two of one object that only tell progress


class Waiting(NamedTuple):
    """An object whose status is out of date; `urgent` when somebody may wait for what it is to say."""

    ref: Ref
    urgent: bool


class Pace:
    """Chooses whose status is written now."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = float(PER_SECOND)
        self._looked = clock()
        self._written: dict[Ref, float] = {}

    def due(self, waiting: Iterable[Waiting]) -> tuple[list[Ref], float]:
        """Those to write now, and in how many seconds to ask again about the others (0: there are none)."""
        now = self._clock()
        self._left = min(PER_SECOND, self._left + (now - self._looked) * PER_SECOND)
        self._looked = now
        self._written = {ref: at for ref, at in self._written.items() if now - at < GAP_SECONDS}
        found: list[Ref] = []
        again: list[float] = []
        for ref, urgent in sorted(waiting, key=lambda one: not one.urgent):
            if not urgent and ref in self._written:
                again.append(self._written[ref] + GAP_SECONDS - now)
            elif self._left < 1:
                again.append((1 - self._left) / PER_SECOND)
            else:
                self._left -= 1
                self._written[ref] = now
                found.append(ref)
        return found, min(again, default=0.0)
