from __future__ import annotations

import asyncio
import os
from pathlib import Path

from envoy.service.discovery.v3 import discovery_pb2
from grpclib.client import Channel
from grpclib.const import Cardinality
from tests.support.wait import PATIENCE

from tsujiban.proxy import clusters, names
from tsujiban.proxy.guard import GuardedServer, bind_private
from tsujiban.proxy.odcds import OnDemandHandler
from tsujiban.proxy.ondemand import Known
from tsujiban.proxy.resource import Kind
from tsujiban.proxy.site import SIDECAR

METHOD = "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters"
HERE = names.mesh_cluster(names.ASKED, "10.0.0.1")


def test_a_stream_is_answered_told_of_changes_and_forgotten(tmp_path: Path) -> None:
    somebody = [True]

    def answer(name: str) -> Known:
        return Known(clusters.mesh(SIDECAR, name, "i") if somebody[0] else None)

    async def main() -> None:
        gone = asyncio.Event()

        def changed() -> None:
            if not handler.streams:
                gone.set()

        handler = OnDemandHandler(answer, changed)
        handler.push(7, None)
        server = GuardedServer([handler], lambda pid, uid: True)
        await server.start(sock=bind_private(str(tmp_path / "s"), os.getuid()))
        async with Channel(path=str(tmp_path / "s")) as channel:
            kinds = discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DeltaDiscoveryResponse
            async with channel.request(METHOD, Cardinality.STREAM_STREAM, *kinds) as stream:
                request = discovery_pb2.DeltaDiscoveryRequest(type_url=Kind.CLUSTER)
                request.resource_names_subscribe.append(HERE)
                await stream.send_message(request)
                first = await stream.recv_message()
                assert [one.name for one in first.resources] == [HERE]
                assert not handler.streams[0].settled(7)
                somebody[0] = False
                handler.push(8, iter(["10.0.0.1"]))
                second = await stream.recv_message()
                assert second.resources[0].version != first.resources[0].version
                await stream.end()
        await gone.wait()
        server.close()
        await server.wait_closed()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
