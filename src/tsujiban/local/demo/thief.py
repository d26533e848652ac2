"""The program that becomes an Envoy's user in its network, and asks for a pod's key as Envoy would.

Arguments: path of the network namespace, uid, gid, directory of the socket, Envoy's id, name of the secret.
Everything is imported before the rights are given away: that user may read nothing of ours.

Source: Envoy's xDS protocol, "Incremental xDS"; api v3 service/discovery/v3/ads.proto.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from grpclib.client import Channel
from grpclib.const import Cardinality

from tsujiban.local.demo.loot import Loot
from tsujiban.supervise.netns import enter

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type
SECONDS = 10.0


async def ask(path: str, node: str, secret: str) -> Loot:
    """Subscribe to a secret on an ADS socket; the first answer that holds it."""
    channel = Channel(path=path)
    try:
        stream = channel.request(
            ADS,
            Cardinality.STREAM_STREAM,
            discovery_pb2.DeltaDiscoveryRequest,
            discovery_pb2.DeltaDiscoveryResponse,
        )
        async with stream, asyncio.timeout(SECONDS):
            request = discovery_pb2.DeltaDiscoveryRequest(
                type_url=SECRET_TYPE, resource_names_subscribe=[secret]
            )
            request.node.id = node
            await stream.send_message(request)
            while (response := await stream.recv_message()) is not None:
                if loot := unpack(response, secret):
                    await stream.cancel()
                    return loot
    finally:
        channel.close()
    raise ConnectionError("the agent hung up without the secret")


def unpack(response: discovery_pb2.DeltaDiscoveryResponse, secret: str) -> Loot | None:
    """The certificate and key of a secret, when the response holds it."""
    for resource in response.resources:
        found = secret_pb2.Secret()
        if resource.name == secret and resource.resource.Unpack(found):
            certificate = found.tls_certificate
            return Loot(
                chain=_text(certificate.certificate_chain),
                key=_text(certificate.private_key),
            )
    return None


def _text(source: base_pb2.DataSource) -> str:
    return str(source.inline_string) or bytes(source.inline_bytes).decode()


def main() -> None:
    """Become Envoy's user in its network; ask; print the loot as JSON."""
    netns, uid, gid, directory, node, secret = sys.argv[1:]
    enter(netns)
    os.chdir(directory)
    os.setgroups([])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
    loot = asyncio.run(ask("proxy.sock", node, secret))
    print(json.dumps({"chain": loot.chain, "key": loot.key}))


if __name__ == "__main__":
    main()
