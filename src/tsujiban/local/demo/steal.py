"""Stealing a workload's real key the only way there is: root takes the place of its sidecar.

The key is on no disk. The node's agent gives it, over a Unix socket in a directory of the sidecar's
user, to that user in that pod's network namespace. Root on the node can become that user there.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tsujiban.agent import sandbox_init
from tsujiban.local.cluster import LocalCluster
from tsujiban.local.demo.loot import Loot
from tsujiban.supervise.netns import namespace_path
from tsujiban.wire.sessions import SIDECAR

Json = dict[str, Any]
THIEF = "tsujiban.local.demo.thief"  # a program of its own, because it gives its rights away


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
        *(sys.executable, "-m", THIEF, netns, str(user["uid"]), str(user["gid"]), str(directory)),
        f"{meta['namespace']}/{meta['name']}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise StealError(err.decode("utf-8", "replace").strip().splitlines()[-1])
    return Loot(**json.loads(out))
