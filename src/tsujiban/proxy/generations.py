"""Which processes are one pod's, or one node's, Envoy: one, or two for a while after a hot restart.

The older one has stopped listening and feels no change of a listener any more. That is also true when the
newer one has ended again, before another has come in its place.
"""

from __future__ import annotations

import contextlib
import os
import signal

from tsujiban.supervise import procfs


class Generations:
    """The processes that have connected, as far as they are there still."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}  # start in clock ticks, by pid
        self._succeeded: set[int] = set()  # pids of those beside which a newer one has been

    def add(self, pid: int) -> None:
        """This one has connected. Nobody, when it is gone already."""
        found = procfs.stat(pid)
        if found is not None:
            self._known[pid] = found.start_ticks
            self._succeeded.update(self._alive()[:-1])

    @property
    def newest(self) -> int:
        """The pid of the one that was started last; 0 when there is none."""
        return next(reversed(self._alive()), 0)

    @property
    def succeeded(self) -> tuple[int, ...]:
        """Those that a newer one has come beside, be that one there still or not."""
        return tuple(pid for pid in self._alive() if pid in self._succeeded)

    def end_old(self) -> None:
        """End them."""
        for pid in self.succeeded:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _alive(self) -> list[int]:
        found = ((pid, procfs.stat(pid)) for pid in self._known)
        self._known = {pid: one.start_ticks for pid, one in found if one and self._is(pid, one)}
        self._succeeded.intersection_update(self._known)
        return sorted(self._known, key=lambda pid: (self._known[pid], pid))

    def _is(self, pid: int, found: procfs.Stat) -> bool:
        return found.start_ticks == self._known[pid] and found.state not in "ZX"
