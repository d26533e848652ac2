"""Collects flow records and sends them in batches: recording a flow must cost next to nothing.

When more comes than the controller takes, or while it is away, records wait here, in room that is shared out
among those whom they are about (`flows.fair`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable

from tsujiban.flows.fair import Fair
from tsujiban.wire.messages import Flow, Flows

BATCH_SECONDS = 0.05
BATCH_SIZE = 500  # records; the longest that there are fit into one message (wire.transport)
LIMIT = 16_384  # records that may wait, of some 1.25 kB; more are dropped and counted


class FlowLog:
    """Records come from any thread; batches go out in the event loop."""

    def __init__(self, send: Callable[[Flows], None], ready: Callable[[], bool] = lambda: True) -> None:
        """`ready` tells whether `send` would take a batch now."""
        self._send = send
        self._ready = ready
        self._waiting: Fair[Flow] = Fair(LIMIT)
        self._lock = threading.Lock()

    @property
    def dropped(self) -> int:
        """Records for which there was no room."""
        return self._waiting.forgotten

    def share_out(self, networks: Iterable[str]) -> None:
        """From now on pods have their addresses in these networks."""
        with self._lock:
            self._waiting.share_out(networks)

    def add(self, flows: Iterable[Flow]) -> None:
        """Record flows."""
        with self._lock:
            for flow in flows:
                self._waiting.add(flow)

    def flush(self) -> None:
        """Send what waits, as far as it is taken."""
        while self._ready():
            with self._lock:
                batch = self._waiting.take(BATCH_SIZE)
            if not batch:
                return
            self._send(Flows(flows=batch))

    async def run(self) -> None:
        """Send batches until cancelled."""
        while True:
            await asyncio.sleep(BATCH_SECONDS)
            self.flush()
