"""Collects flow records and sends them in batches: recording a flow must cost next to nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable

from tsujiban.wire.messages import Flow, Flows

BATCH_SECONDS = 0.05
BATCH_SIZE = 500  # records; the longest that there are fit into one message (wire.transport)
LIMIT = 50_000  # records that may wait; more are dropped and counted


class FlowLog:
    """Records come from any thread; batches go out in the event loop."""

    def __init__(self, send: Callable[[Flows], None]) -> None:
        self._send = send
        self._waiting: list[Flow] = []
        self._lock = threading.Lock()
        self.dropped = 0

    def add(self, flows: Iterable[Flow]) -> None:
        """Record flows."""
        with self._lock:
            for flow in flows:
                if len(self._waiting) < LIMIT:
                    self._waiting.append(flow)
                else:
                    self.dropped += 1

    def flush(self) -> None:
        """Send what waits, now."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), BATCH_SIZE):
            self._send(Flows(flows=tuple(waiting[start : start + BATCH_SIZE])))

    async def run(self) -> None:
        """Send batches until cancelled."""
        while True:
            await asyncio.sleep(BATCH_SECONDS)
            self.flush()
