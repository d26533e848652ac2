"""An agent as its cluster grows tenfold: its memory, and what it costs when a pod comes to another node.

A process of its own for each size: it gets what the controller would send to a node with 50 pods, over the
wire's encoding, enforces it in a network namespace and renders it for the node's proxy. Every
namespace has a service, and its pods speak with each other and with one namespace that is open to all.
Nothing is judged.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
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
from tsujiban.agent.merge import endangered
from tsujiban.network import zone
from tsujiban.policy.graph import Change, PolicyGraph, key_of
from tsujiban.policy.program import NodeDelta, NodeState
from tsujiban.proxy.owners import Owners
from tsujiban.proxy.post import ProxyPost
from tsujiban.resources.load import LoadedObject, decode
from tsujiban.resources.registry import kind_for

HERE, PODS = "n1", 50  # of which node, and how many of its own it has
COMING = 21  # pods that come to another node, one after the other
NAMESPACE = 20  # pods
console = Console(width=110)
Json = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pods", type=int, nargs="+", default=[1000, 10_000], help="of the cluster")
    options, _ = parser.parse_known_args()
    table = Table(
        "pods of the cluster",
        "sent, MB",
        "private memory, MB",
        "first enforced, s",
        "a pod comes: kernel, ms",
        "DNS, ms",
    )
    for pods in options.pods:
        sent = told(pods)
        memory, took, kernel, names = apart(sent)
        table.add_row(
            str(pods),
            f"{len(sent[0]) / 1e6:.1f}",
            f"{memory / 1e6:.0f}",
            f"{took:.1f}",
            f"{kernel * 1e3:.0f}",
            f"{names * 1e3:.0f}",
        )
    console.print(table)


def told(pods: int) -> list[bytes]:
    """The first message to the node, and one for each pod that comes to another."""
    graph = PolicyGraph()
    graph.apply([change(raw) for raw in objects(pods)])
    messages = [graph.snapshot(HERE, 1)]
    for number in range(COMING):
        graph.apply([change(pod(pods + number, "ns1", "n2"))])
        delta = graph.delta(HERE, 2 + number)
        messages += [delta] if delta is not None else []
    return [msgspec.msgpack.encode(message) for message in messages]


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
    for number in range(pods // NAMESPACE):
        meta = {"name": "web", "namespace": f"ns{number}"}
        spec = {"clusterIP": f"10.250.{number >> 8}.{number & 255}", "ports": [{"name": "http", "port": 80}]}
        found.append({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
        there = map(address, range(number * NAMESPACE, (number + 1) * NAMESPACE))
        found.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**meta, "labels": {"kubernetes.io/service-name": "web"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [one], "conditions": {"ready": True}} for one in there],
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            }
        )
    for number in range(pods):
        node = HERE if number % (pods // PODS) == 0 else "n2"
        found.append(pod(number, f"ns{number // NAMESPACE}", node))
    return found


def address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def pod(number: int, namespace: str, node: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p{number}", "namespace": namespace, "uid": f"u{number}"},
        "spec": {"nodeName": node, "containers": [{"name": "m", "image": "host"}]},
        "status": {
            "phase": "Running",
            "podIP": address(number),
            "podIPs": [{"ip": address(number)}],
        },
    }


def apart(sent: list[bytes]) -> tuple[int, float, float, float]:
    """What an agent's process needs for that: private bytes, seconds until it is in force; then the median
    seconds of kernel and DNS for each pod that comes."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=agent, args=(theirs,))
    process.start()
    theirs.close()  # so that its end is noticed
    for message in sent:
        ours.send_bytes(message)
    memory, took, kernel, names = ours.recv()
    process.join()
    return int(memory), float(took), float(kernel), float(names)


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
        took = time.perf_counter() - begun
        zones = zone.Builder()
        kernel, names = [], []
        with tempfile.TemporaryDirectory() as directory:
            for _ in range(COMING):
                delta = msgspec.msgpack.decode(told_by.recv_bytes(), type=NodeDelta)
                state.apply(delta)
                begun = time.perf_counter()
                side._enforce(state, endangered(state, [delta]))
                kernel.append(time.perf_counter() - begun)
                begun = time.perf_counter()
                zone.write(Path(directory, "zone.json"), zones.build(state.services, state.peers))
                names.append(time.perf_counter() - begun)
        told_by.send((memory, took, statistics.median(kernel), statistics.median(names)))
    finally:
        bed.close()


async def render(state: NodeState) -> int:
    """Render all pods for the node's proxy; the private memory of this process then."""
    with tempfile.TemporaryDirectory() as directory:
        post = ProxyPost(["10.0.0.0/8"], Owners(Path(directory, "owners")))
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
