"""Stealing a workload's real key the only way there is: root takes the place of its Envoy.

The key is on no disk. The node's agent gives it, over a Unix socket in a directory of Envoy's user, to that
user (of a sidecar: in its pod's network namespace only). Root on the node can become that user there.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tsujiban.agent import nodeproxy, sandbox_init
from tsujiban.local.cluster import LocalCluster
from tsujiban.local.demo.loot import Loot
from tsujiban.proxy import names
from tsujiban.supervise.netns import namespace_path
from tsujiban.wire.sessions import SIDECAR

Json = dict[str, Any]
THIEF = "tsujiban.local.demo.thief"  # a program of its own, because it gives its rights away


class StealError(Exception):
    """The key could not be had; the text says why."""


class _Place(NamedTuple):
    """Where an Envoy asks for a pod's key, and as whom."""

    process: str  # the supervisor's name of Envoy
    netns: str
    directory: Path  # of the socket
    node: str  # Envoy's id
    secret: str


def _of_sidecar(cluster: LocalCluster, pod: Json) -> _Place:
    meta = pod["metadata"]
    return _Place(
        cluster.process_name(meta["namespace"], meta["name"], SIDECAR),
        namespace_path(cluster.pod_netns(meta["namespace"], meta["name"])),
        cluster.layout.node_run(pod["spec"]["nodeName"]) / "pods" / meta["uid"],
        f"{meta['namespace']}/{meta['name']}",
        names.IDENTITY_SECRET,
    )


def _of_node(cluster: LocalCluster, pod: Json) -> _Place:
    meta, node = pod["metadata"], pod["spec"]["nodeName"]
    name = nodeproxy.process_name(node)
    path = namespace_path(cluster.pod_netns(meta["namespace"], meta["name"]))
    return _Place(
        name,
        f"/proc/{cluster.process(name).pid}/ns/net",
        cluster.layout.node_run(node) / "proxy",
        node,
        names.prefix(path) + names.IDENTITY_SECRET,
    )


async def steal(cluster: LocalCluster, pod: Json, mesh: str) -> Loot:
    """The certificate and key that the agent gives the pod's Envoy, its sidecar or its node's (`mesh`).
    Raises StealError."""
    place = await asyncio.to_thread(_of_node if mesh == "node" else _of_sidecar, cluster, pod)
    specification = await asyncio.to_thread(cluster.specification, place.process)
    user = json.loads(specification.env[sandbox_init.VARIABLE])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", THIEF, place.netns, str(user["uid"]), str(user["gid"])),
        *(str(place.directory), place.node, place.secret),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise StealError(err.decode("utf-8", "replace").strip().splitlines()[-1])
    return Loot(**json.loads(out))
