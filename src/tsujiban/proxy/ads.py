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
Responses = Iterator[discovery_pb2.DeltaDiscoveryResponse]


class AdsHandler:
    """Serves one pod. `changed` is called when a session comes, answers, or goes."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
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

    @staticmethod
    def _enqueue(queue: asyncio.Queue[Any], responses: Responses) -> None:
        for one in responses:
            queue.put_nowait(one)

    async def _serve(self, stream: Any) -> None:
        session = Session()
        queue: asyncio.Queue[discovery_pb2.DeltaDiscoveryResponse] = asyncio.Queue()
        self._enqueue(queue, session.push(self._desired, self._revision))
        self._sessions[session] = queue
        sender = asyncio.create_task(self._send(stream, queue))
        try:
            while (message := await stream.recv_message()) is not None:
                self._enqueue(queue, session.request(message))
                self._changed()
        finally:
            sender.cancel()
            del self._sessions[session]
            self._changed()

    @staticmethod
    async def _send(stream: Any, queue: asyncio.Queue[Any]) -> None:
        while True:
            await stream.send_message(await queue.get())
