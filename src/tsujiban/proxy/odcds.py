"""The cluster discovery service that one Envoy asks on demand, over gRPC (see `ondemand`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import grpclib.const

from tsujiban.proxy.delta import Queue, enqueue, send, served
from tsujiban.proxy.ondemand import Answer, OnDemand

REST_SECONDS = 60.0  # how often it is looked for tunnels that are not used
_METHOD = "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters"


class OnDemandHandler:
    """Serves one Envoy. `changed` is called when it has answered, or goes."""

    def __init__(self, answer: Answer, changed: Callable[[], None]) -> None:
        self._answer = answer
        self._changed = changed
        self._streams: dict[OnDemand, Queue] = {}
        self._revision = 0

    @property
    def streams(self) -> list[OnDemand]:
        """Streams that are open."""
        return list(self._streams)

    def push(self, revision: int, moved: Iterable[str] | None) -> None:
        """See `OnDemand.push`, for every stream."""
        self._revision = revision
        moved = None if moved is None else tuple(moved)
        for stream, queue in self._streams.items():
            enqueue(queue, stream.push(revision, moved))

    def used(self, name: str) -> None:
        """See `OnDemand.used`, for every stream."""
        for stream in self._streams:
            stream.used(name)

    def wanted(self, name: str) -> None:
        """See `OnDemand.wanted`, for every stream."""
        for stream, queue in self._streams.items():
            enqueue(queue, stream.wanted(name))

    async def _rest(self, state: OnDemand, queue: Queue) -> None:
        while True:
            await asyncio.sleep(REST_SECONDS)
            enqueue(queue, state.rest())

    def __mapping__(self) -> dict[str, grpclib.const.Handler]:
        """Grpclib's table of methods."""
        return served(_METHOD, self._serve)

    async def _serve(self, stream: Any) -> None:
        state, queue = OnDemand(self._answer), Queue()
        enqueue(queue, state.push(self._revision, ()))
        self._streams[state] = queue
        tasks = [asyncio.create_task(one) for one in (send(stream, queue), self._rest(state, queue))]
        try:
            while (message := await stream.recv_message()) is not None:
                enqueue(queue, state.request(message))
                self._changed()
        finally:
            for task in tasks:
                task.cancel()
            del self._streams[state]
            self._changed()
