"""The aggregated discovery service of one pod's sidecar, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import grpclib.const

from tsujiban.proxy.delta import Queue, enqueue, send, served
from tsujiban.proxy.resource import Resources
from tsujiban.proxy.session import Session

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0)


class AdsHandler:
    """Serves one pod. `changed` is called when a session comes, answers, or goes.

    What a proxy has refused is offered again, later and later: the cause (a port that another
    process held) may have gone, and until it is accepted the pod is closed.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        remove: Callable[[], bool] = lambda: True,
        led: Callable[[], bool] = lambda: True,
    ) -> None:
        self._changed = changed
        self._remove = remove
        self._led = led
        self._sessions: dict[Session, Queue] = {}
        self._desired: Resources = {}
        self._keyless: Mapping[str, Resources] = {}
        self._revision = 0

    @property
    def sessions(self) -> list[Session]:
        """Streams that are open."""
        return list(self._sessions)

    def push(
        self, desired: Resources, revision: int, keyless: Mapping[str, Resources] = MappingProxyType({})
    ) -> None:
        """Make this what the proxy should hold; `keyless` as in `Session.push`."""
        self._desired, self._keyless = desired, keyless
        self._revision = revision
        for session, queue in self._sessions.items():
            self._again(session, queue)

    def resume(self) -> None:
        """What has waited for the proxy's other stream may perhaps be sent."""
        for session, queue in self._sessions.items():
            enqueue(queue, session.resume())

    def __mapping__(self) -> dict[str, grpclib.const.Handler]:
        """Grpclib's table of methods."""
        return served(_METHOD, self._serve)

    def _again(self, session: Session, queue: Queue) -> None:
        enqueue(queue, session.push(self._desired, self._revision, self._keyless))

    async def _serve(self, stream: Any) -> None:
        session = Session(self._remove, self._led)
        queue: Queue = asyncio.Queue()
        self._again(session, queue)
        self._sessions[session] = queue
        sender = asyncio.create_task(send(stream, queue))
        loop, refusals = asyncio.get_running_loop(), 0
        retry = loop.call_later(0, self._changed)
        try:
            while (message := await stream.recv_message()) is not None:
                enqueue(queue, session.request(message))
                if message.HasField("error_detail"):
                    refusals += 1
                    retry.cancel()
                    delay = _RETRY_SECONDS[min(refusals, len(_RETRY_SECONDS)) - 1]
                    retry = loop.call_later(delay, self._again, session, queue)
                elif not session.refuses:
                    refusals = 0
                self._changed()
        finally:
            retry.cancel()
            sender.cancel()
            del self._sessions[session]
            self._changed()
