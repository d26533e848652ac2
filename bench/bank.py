"""`make bench`: what Tsujiban costs, on this machine, everything side by side in one run.

Variants are interleaved and repeated, and ratios are shown beside figures: on a shared machine a ratio
is worth more. Nothing is judged here; targets are printed for the reader.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tsujiban.local.demo.hands import SYSTEM_PYTHON, Hands, address
from tsujiban.local.down import down
from tsujiban.local.enforced import wait_for
from tsujiban.local.up import up

Json = dict[str, Any]
HERE = Path(__file__).parent
NAMESPACE = "bench"
PORT = 8080
VARIANTS = (  # name, client, server
    ("direct", "plain-client", "plain-server"),
    ("two sidecars", "mesh-client", "mesh-server"),
    ("two sidecars, policy", "mesh-client", "policy-server"),
)


def pod(name: str, node: str, command: list[str], *, mesh: bool, config: bool = False) -> Json:
    labels = {"app": name} | ({} if mesh else {"tsujiban.io/mesh": "none"})
    container: Json = {"name": "main", "image": "host", "command": command}
    spec: Json = {"nodeName": node, "serviceAccountName": "bench", "containers": [container]}
    if config:
        container["ports"] = [{"name": "http", "containerPort": PORT}]
        container["volumeMounts"] = [{"name": "apps", "mountPath": "/apps"}]
        spec["volumes"] = [{"name": "apps", "configMap": {"name": "bench"}}]
    meta = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def server(name: str, *, mesh: bool) -> Json:
    command = [SYSTEM_PYTHON, "/apps/server.py", str(PORT)]
    return pod(name, "node-2", command, mesh=mesh, config=True)


def policy(paths: list[str]) -> Json:
    """What an ordinary HTTP policy looks like: GET of some paths, from one service account."""
    rule = {
        "action": "Allow",
        "protocol": "TCP",
        "source": {"serviceAccounts": {"names": ["bench"]}},
        "destination": {"ports": [PORT]},
        "http": {"methods": ["GET"], "paths": [{"exact": path} for path in paths]},
    }
    spec = {"selector": "app == 'policy-server'", "types": ["Ingress"], "ingress": [rule, {"action": "Deny"}]}
    meta = {"name": "bench", "namespace": NAMESPACE}
    return {"apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def world() -> list[Json]:
    data = {path.name: path.read_text() for path in (HERE / "inside").glob("*.py")}
    meta = {"name": "bench", "namespace": NAMESPACE}
    sleep = ["/usr/bin/sleep", "infinity"]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data},
        policy(["/"]),
        server("plain-server", mesh=False),
        server("mesh-server", mesh=True),
        server("policy-server", mesh=True),
        pod("plain-client", "node-1", sleep, mesh=False),
        pod("mesh-client", "node-1", sleep, mesh=True),
    ]


async def load(hands: Hands, client: Json, to: str, connections: int, seconds: float) -> Json:
    text = (HERE / "inside" / "client.py").read_text()
    command = [SYSTEM_PYTHON, "-I", "-c", text, to, str(PORT), str(connections), str(seconds)]
    found: Json = json.loads(await hands.inside(client, command))
    if found["wrong"]:
        raise SystemExit(f"{found['wrong']} wrong answers: the figures would mean nothing")
    return found


async def requests(hands: Hands, rounds: int, seconds: float) -> dict[tuple[str, int], list[Json]]:
    names = {name for _, *pair in VARIANTS for name in pair}
    pods = {name: await hands.named_pod(name, NAMESPACE) for name in names}
    found: dict[tuple[str, int], list[Json]] = {}
    for number in range(rounds):
        for connections in (1, 16):
            for offset in range(len(VARIANTS)):
                name, source, target = VARIANTS[(number + offset) % len(VARIANTS)]
                result = await load(hands, pods[source], address(pods[target]), connections, seconds)
                found.setdefault((name, connections), []).append(result)
    return found


def show_requests(console: Console, found: dict[tuple[str, int], list[Json]]) -> None:
    table = Table(title="requests, client on one node, server on the other (medians)", title_justify="left")
    for title in ("", "p50 ms, c1", "p99 ms, c1", "req/s, c16", "p99 ms, c16", "of direct", "of mTLS alone"):
        table.add_column(title, justify="left" if not title else "right")

    def median(name: str, connections: int, key: str) -> float:
        return float(statistics.median(result[key] for result in found[name, connections]))

    rates = {name: median(name, 16, "rate") for name, *_ in VARIANTS}
    direct, mesh = (rates[VARIANTS[i][0]] for i in (0, 1))
    for name, *_ in VARIANTS:
        table.add_row(
            name,
            *(f"{median(name, 1, key):.2f}" for key in ("p50_ms", "p99_ms")),
            f"{rates[name]:.0f}",
            f"{median(name, 16, 'p99_ms'):.2f}",
            f"{rates[name] / direct:.3f}",
            f"{rates[name] / mesh:.3f}",
        )
    console.print(table)


async def enforcement(hands: Hands, times: int) -> list[float]:
    """Milliseconds from the start of an apply until both posts of every node enforce it."""
    found = []
    for number in range(times):
        changed = [policy(["/", f"/{number}"])]
        started = time.perf_counter()
        await asyncio.to_thread(hands.client.apply, changed)
        await asyncio.to_thread(wait_for, hands.client, changed, 30.0)
        found.append((time.perf_counter() - started) * 1e3)
    return found


async def first_answers(hands: Hands, times: int) -> list[float]:
    """Milliseconds from creating a pod in the mesh until another pod gets its first answer from it."""
    client = await hands.named_pod("mesh-client", NAMESPACE)
    text = (HERE / "inside" / "first.py").read_text()
    found = []
    for number in range(times):
        name = f"new-{number}"
        started = time.time()
        await hands.apply([server(name, mesh=True)])

        async def placed(name: str = name) -> str | None:
            return next(
                (
                    str(p["status"]["podIP"])
                    for p in await hands.pods(NAMESPACE)
                    if p["metadata"]["name"] == name and p.get("status", {}).get("podIP")
                ),
                None,
            )

        to = await hands.until(f"address of {name}", 20.0, placed)
        answered = await hands.inside(client, [SYSTEM_PYTHON, "-I", "-c", text, to, str(PORT), "20"])
        found.append((float(answered) - started) * 1e3)
        await hands.delete("pod", NAMESPACE, name)
    return found


def memory(hands: Hands) -> list[tuple[str, int, float, float, str]]:
    """What, how many, median resident and median private MB (10^6 bytes), target."""
    components = hands.client.status()["components"]
    rows = []
    for what, prefix, target in (
        ("sidecar", "sidecar", "private < 25"),
        ("agent", "agent", "resident < 120"),
        ("controller", "controller", "resident < 150"),
    ):
        found = [c for c in components if c["name"].split()[0] == prefix and c.get("rss_bytes")]
        if found:
            resident = statistics.median(c["rss_bytes"] for c in found) / 1e6
            private = statistics.median(c.get("private_bytes", 0) for c in found) / 1e6
            rows.append((what, len(found), resident, private, target))
    return rows


def summary(values: list[float]) -> list[str]:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return [str(len(ordered)), f"{statistics.median(ordered):.0f}", f"{p99:.0f}", f"{ordered[-1]:.0f}"]


async def measure(hands: Hands, arguments: argparse.Namespace, console: Console) -> None:
    await hands.apply(world())
    for name in {name for _, *pair in VARIANTS for name in pair}:
        await hands.named_pod(name, NAMESPACE)
    await asyncio.to_thread(wait_for, hands.client, [policy(["/"])], 30.0)
    console.print("... requests")
    show_requests(console, await requests(hands, arguments.rounds, arguments.seconds))
    table = Table(title="times, ms", title_justify="left")
    for title in ("", "n", "median", "p99", "worst", "target"):
        table.add_column(title, justify="left" if title in ("", "target") else "right")
    console.print("... apply to enforced")
    table.add_row(
        "apply to enforced, both posts", *summary(await enforcement(hands, arguments.applies)), "p99 < 250"
    )
    console.print("... pod to first answer")
    table.add_row("pod to first answer", *summary(await first_answers(hands, arguments.pods)), "< 1500")
    console.print(table)
    table = Table(title="memory, MB", title_justify="left")
    for title in ("", "n", "resident", "private", "target"):
        table.add_column(title, justify="left" if title in ("", "target") else "right")
    for what, count, resident, private, target in await asyncio.to_thread(memory, hands):
        table.add_row(what, str(count), f"{resident:.1f}", f"{private:.1f}", target)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repetitions of each request test")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one request test")
    parser.add_argument("--applies", type=int, default=50)
    parser.add_argument("--pods", type=int, default=7)
    parser.add_argument("--cluster", default="bench")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110)
    cluster = up(arguments.cluster, 2, lambda text: console.print(f"... {text}"))
    try:
        with cluster.client() as client:
            asyncio.run(measure(Hands(cluster, client), arguments, console))
    finally:
        down(arguments.cluster)


if __name__ == "__main__":
    main()
