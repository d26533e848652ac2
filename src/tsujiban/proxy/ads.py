"""The aggregated discovery service of one pod's sidecar, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import grpclib.const
from envoy.service.discovery.v3 import discovery_pb2

from tsujiban.proxy.resource import Resources
from tsujiban.proxy.session import Session

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0)
Responses = Iterator[discovery_pb2.DeltaDiscoveryResponse]


class AdsHandler:
    """Serves one pod. `changed` is called when a session comes, answers, or goes.

    What a proxy has refused is offered again, later and later: the cause (a port that another
    process held) may have gone, and until it is accepted the pod is closed.
    """

    def __init__(self, changed: Callable[[], None], remove: Callable[[], bool] = lambda: True) -> None:
        self._changed = changed
        self._remove = remove
        self._sessions: dict[Session, asyncio.Queue[discovery_pb2.DeltaDiscoveryResponse]] = {}
        self._desired: Resources = {}
        self._revision = 0

    @property
    def sessions(self) -> list[Session]:
        """Streams that are open."""
        return list(self._sessions)

    def push(self, desired: Resources, revision: int) -> None:
        """Make this what the proxy should hold."""
        self._desired = desired
        self._revision = revision
        for session, queue in self._sessions.items():
            self._enqueue(queue, session.push(desired, revision))

    def __mapping__(self) -> dict[str, grpclib.const.Handler]:
        """Grpclib's table of methods."""
        return {
            _METHOD: grpclib.const.Handler(
                self._serve,
                grpclib.const.Cardinality.STREAM_STREAM,
                discovery_pb2.DeltaDiscoveryRequest,
                discovery_pb2.DeltaDiscoveryResponse,
            )
        }

    def _again(self, session: Session, queue: asyncio.Queue[Any]) -> None:
        self._enqueue(queue, session.push(self._desired, self._revision))

    @staticmethod
    def _enqueue(queue: asyncio.Queue[Any], responses: Responses) -> None:
        for one in responses:
            queue.put_nowait(one)

    async def _serve(self, stream: Any) -> None:
        session = Session(self._remove)
        queue: asyncio.Queue[discovery_pb2.DeltaDiscoveryResponse] = asyncio.Queue()
        self._enqueue(queue, session.push(self._desired, self._revision))
        self._sessions[session] = queue
        sender = asyncio.create_task(self._send(stream, queue))
        loop, refusals = asyncio.get_running_loop(), 0
        retry = loop.call_later(0, self._changed)
        try:
            while (message := await stream.recv_message()) is not None:
                self._enqueue(queue, session.request(message))
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

    @staticmethod
    async def _send(stream: Any, queue: asyncio.Queue[Any]) -> None:
        while True:
            await stream.send_message(await queue.get())
