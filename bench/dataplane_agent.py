"""Memory of an agent as its cluster grows tenfold: what it holds of policy, kernel and proxies.

A process of its own for each size: it gets what the controller would send to a node with 50 pods, over the
wire's encoding, enforces it in a network namespace and renders it for the node's proxy. Every
namespace's pods speak with each other and with one namespace that is open to all. Nothing is judged.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from tests.support.kernelbed import NODE4, Bed

from tsujiban.agent.kernelside import KernelSide
from tsujiban.policy.graph import Change, PolicyGraph, key_of
from tsujiban.policy.program import NodeDelta, NodeState
from tsujiban.proxy.post import ProxyPost
from tsujiban.resources.load import LoadedObject, decode
from tsujiban.resources.registry import kind_for

HERE, PODS = "n1", 50  # of which node, and how many of its own it has
NAMESPACE = 20  # pods
console = Console(width=110)
Json = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pods", type=int, nargs="+", default=[1000, 10_000], help="of the cluster")
    options, _ = parser.parse_known_args()
    table = Table("pods of the cluster", "sent, MB", "private memory, MB", "first enforced, s")
    for pods in options.pods:
        sent = told(pods)
        memory, took = apart(sent)
        table.add_row(str(pods), f"{len(sent) / 1e6:.1f}", f"{memory / 1e6:.0f}", f"{took:.1f}")
    console.print(table)


def told(pods: int) -> bytes:
    """The first message to the node."""
    graph = PolicyGraph()
    graph.apply([change(raw) for raw in objects(pods)])
    return msgspec.msgpack.encode(graph.snapshot(HERE, 1))


def change(raw: Json) -> Change:
    loaded = LoadedObject(kind_for(raw["apiVersion"], raw["kind"]), decode(raw), raw)
    return key_of(loaded.object), loaded


def objects(pods: int) -> list[Json]:
    found: list[Json] = []
    for number in range(pods // NAMESPACE):
        meta = {"name": f"ns{number}", "labels": {"open": str(number == 0).lower()}}
        found.append({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        peers = [{"podSelector": {}}, {"namespaceSelector": {"matchLabels": {"open": "true"}}}]
        ways = {"policyTypes": ["Ingress", "Egress"], "ingress": [{"from": peers}], "egress": [{"to": peers}]}
        found.append(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "own", "namespace": f"ns{number}"},
                "spec": {"podSelector": {}, **ways},
            }
        )
    for number in range(pods):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        found.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"p{number}",
                    "namespace": f"ns{number // NAMESPACE}",
                    "uid": f"u{number}",
                },
                "spec": {
                    "nodeName": HERE if number % (pods // PODS) == 0 else "n2",
                    "containers": [{"name": "m", "image": "host"}],
                },
                "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
            }
        )
    return found


def apart(sent: bytes) -> tuple[int, float]:
    """What an agent's process needs for that: private bytes, and seconds until it is in force."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=agent, args=(theirs,))
    process.start()
    theirs.close()  # so that its end is noticed
    ours.send_bytes(sent)
    memory, took = ours.recv()
    process.join()
    return int(memory), float(took)


def agent(told_by: Connection) -> None:
    """The process."""
    bed = Bed(())
    try:
        side = bed.in_node(lambda: KernelSide(NODE4, lambda ended: None))
        begun = time.perf_counter()
        state = NodeState()
        state.apply(msgspec.msgpack.decode(told_by.recv_bytes(), type=NodeDelta))
        problems = side._enforce(state, None)
        if problems:
            raise RuntimeError(f"not enforced: {problems}")
        memory = asyncio.run(render(state))
        told_by.send((memory, time.perf_counter() - begun))
    finally:
        bed.close()


async def render(state: NodeState) -> int:
    """Render all pods for the node's proxy; the private memory of this process then."""
    post = ProxyPost(["10.0.0.0/8"])
    with tempfile.TemporaryDirectory() as directory:
        await post.share(Path(directory, "socket"), os.getuid())
        for number, name in enumerate(state.endpoints):
            post.add_shared(name, f"/run/netns/bench-{number}")
        post.update(state)
        await post.enforced(state.revision)
        memory = private()
        await post.close()
    return memory


def private() -> int:
    """Bytes that are this process's alone."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
    return 1024 * (int(found["Private_Dirty"]) + int(found["Private_Clean"]))


if __name__ == "__main__":
    main()
