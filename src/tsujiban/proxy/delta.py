"""What the delta streams of an Envoy have in common: the form of a response, and the pump that sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import grpclib.const
from envoy.service.discovery.v3 import discovery_pb2

from tsujiban.proxy.resource import Kind, Resource

Responses = Iterator[discovery_pb2.DeltaDiscoveryResponse]
Queue = asyncio.Queue[discovery_pb2.DeltaDiscoveryResponse]


def response(
    kind: Kind, nonce: int, changed: Iterable[Resource], removed: Iterable[str]
) -> discovery_pb2.DeltaDiscoveryResponse:
    """One message of a stream."""
    message = discovery_pb2.DeltaDiscoveryResponse(type_url=kind, nonce=str(nonce), removed_resources=removed)
    for one in changed:
        resource = message.resources.add(name=one.name, version=one.version)
        resource.resource.type_url = kind
        resource.resource.value = one.encoded()
    return message


def enqueue(queue: Queue, responses: Responses) -> None:
    """Have them sent, in order."""
    for one in responses:
        queue.put_nowait(one)


def served(method: str, serve: Callable[[Any], Awaitable[None]]) -> dict[str, grpclib.const.Handler]:
    """Grpclib's table of methods of a service with one delta stream."""
    kinds = discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DeltaDiscoveryResponse
    return {method: grpclib.const.Handler(serve, grpclib.const.Cardinality.STREAM_STREAM, *kinds)}


async def send(stream: Any, queue: Queue) -> None:
    """Send what is in the queue, without end."""
    while True:
        await stream.send_message(await queue.get())
