from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from grpclib.client import Channel
from grpclib.const import Cardinality
from tests.support.wait import PATIENCE

from tsujiban.proxy import ads
from tsujiban.proxy.ads import AdsHandler
from tsujiban.proxy.guard import GuardedServer, bind_private
from tsujiban.proxy.resource import Kind, Resource, collect

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


def cluster(timeout: str) -> Resource:
    return Resource(Kind.CLUSTER, "a", {"name": "a", "connect_timeout": timeout})


def test_a_stream_is_told_what_there_is_and_what_changes(tmp_path: Path) -> None:
    changes: list[int] = []

    async def main() -> None:
        gone = asyncio.Event()

        def changed() -> None:
            changes.append(len(handler.sessions))
            if not handler.sessions:
                gone.set()

        handler = AdsHandler(changed)
        handler.push(collect([cluster("1s")]), 1)
        server = GuardedServer([handler], lambda pid, uid: True)
        await server.start(sock=bind_private(str(tmp_path / "s"), os.getuid()))
        async with Channel(path=str(tmp_path / "s")) as channel:
            stream = channel.request(
                METHOD,
                Cardinality.STREAM_STREAM,
                discovery_pb2.DeltaDiscoveryRequest,
                discovery_pb2.DeltaDiscoveryResponse,
            )
            async with stream:
                request = discovery_pb2.DeltaDiscoveryRequest(type_url=Kind.CLUSTER)
                await stream.send_message(request)
                first = await stream.recv_message()
                request.response_nonce = first.nonce
                await stream.send_message(request)
                handler.push(collect([cluster("2s")]), 2)
                second = await stream.recv_message()
                assert first.resources[0].version != second.resources[0].version
                assert handler.sessions[0].settled(1)
                assert not handler.sessions[0].settled(2)
                await stream.end()
        await gone.wait()
        server.close()
        await server.wait_closed()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert changes[0] == 1
    assert changes[-1] == 0


def test_what_was_refused_is_offered_again_without_anybody_s_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ads, "_RETRY_SECONDS", (0.01,))

    async def main() -> None:
        handler = AdsHandler(lambda: None)
        handler.push(collect([cluster("1s")]), 1)
        server = GuardedServer([handler], lambda pid, uid: True)
        await server.start(sock=bind_private(str(tmp_path / "s"), os.getuid()))
        async with Channel(path=str(tmp_path / "s")) as channel:
            stream = channel.request(
                METHOD,
                Cardinality.STREAM_STREAM,
                discovery_pb2.DeltaDiscoveryRequest,
                discovery_pb2.DeltaDiscoveryResponse,
            )
            async with stream:
                await stream.send_message(discovery_pb2.DeltaDiscoveryRequest(type_url=Kind.CLUSTER))
                for _ in range(3):
                    offered = await stream.recv_message()
                    assert [one.name for one in offered.resources] == ["a"]
                    refusal = discovery_pb2.DeltaDiscoveryRequest(
                        type_url=Kind.CLUSTER, response_nonce=offered.nonce
                    )
                    refusal.error_detail.message = "the port is taken"
                    await stream.send_message(refusal)
                await stream.recv_message()
                await stream.end()
        server.close()
        await server.wait_closed()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
