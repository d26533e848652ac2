"""What `tsujiban connectivity` costs, start-up and reading of files included, and how that grows.

A cluster of N pods in N/20 namespaces has N/2 Kubernetes NetworkPolicies: default denials, ports
opened between applications, namespaces and CIDRs. Where network-config-analyzer is installed
(`--nca PATH`, or `nca` on PATH), it answers the same question about the same files in the same
run, as long as that takes no longer than `--limit` seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

Json = dict[str, Any]

SIZES = (100, 600, 2000)
APPS = ("web", "api", "db", "cache", "jobs")
PORTS = (80, 443, 5432, 6379, 8080)


def cluster(pods: int, random: Random) -> list[Json]:
    """Namespaces, pods and policies of one cluster."""
    spaces = max(1, pods // 20)
    made: list[Json] = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": f"ns{n}", "labels": {"team": f"t{n % 4}"}},
        }
        for n in range(spaces)
    ]
    for index in range(pods):
        address = f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
        app = APPS[index // spaces % len(APPS)]
        made.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{app}-{index}",
                    "namespace": f"ns{index % spaces}",
                    "labels": {"app": app, "track": random.choice(("stable", "canary"))},
                },
                "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
                "status": {"phase": "Running", "podIP": address, "hostIP": "192.168.0.1"},
            }
        )
    made += [policy(number, number % spaces, random) for number in range(pods // 2)]
    return made


def policy(number: int, space: int, random: Random) -> Json:
    """One NetworkPolicy; the first of a namespace denies by default."""
    peer = random.choice(
        (
            {"podSelector": {"matchLabels": {"app": random.choice(APPS)}}},
            {"namespaceSelector": {"matchLabels": {"team": f"t{random.randrange(4)}"}}},
            {"ipBlock": {"cidr": f"{random.randrange(11, 200)}.0.0.0/8"}},
        )
    )
    ports = [{"protocol": "TCP", "port": port} for port in random.sample(PORTS, 2)]
    spec: Json = {"podSelector": {}, "policyTypes": ["Ingress"]}
    if number != space:
        selector = {"matchLabels": {"app": random.choice(APPS)}}
        direction, word = random.choice((("ingress", "from"), ("ingress", "from"), ("egress", "to")))
        spec = {
            "podSelector": selector,
            "policyTypes": [direction.capitalize()],
            direction: [{word: [peer], "ports": ports}],
        }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"np{number}", "namespace": f"ns{space}"},
        "spec": spec,
    }


def measured(command: list[str], runs: int, limit: float) -> float | None:
    """Median wall time in seconds; None for a command that takes longer than `limit`."""
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return None
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--nca", default=shutil.which("nca"), help="path of network-config-analyzer's nca")
    parser.add_argument("--limit", type=float, default=120, help="most seconds for one command")
    asked = parser.parse_args()
    print("| pods | policies | tsujiban, s | network-config-analyzer, s | times faster |")
    print("|---|---|---|---|---|")
    for pods in asked.sizes:
        with tempfile.TemporaryDirectory() as folder:
            form = Path(folder) / "cluster.yaml"
            random = Random(pods)  # noqa: S311  (not a secret)
            documents = (json.dumps(item, indent=1) + "\n" for item in cluster(pods, random))
            form.write_text("---\n".join(documents))
            command = [sys.executable, "-m", "tsujiban", "connectivity", "-f", folder]
            ours = measured(command, asked.runs, asked.limit)
            cells = ["-" if ours is None else f"{ours:.2f}", "-", "-"]
            if asked.nca and ours is not None:
                command = [asked.nca, "--connectivity", folder, "--resource_list", folder]
                theirs = measured(command, 1, asked.limit)
                cells[1] = f"over {asked.limit:.0f}" if theirs is None else f"{theirs:.2f}"
                cells[2] = f"over {asked.limit / ours:.0f}" if theirs is None else f"{theirs / ours:.0f}"
        print(f"| {pods} | {pods // 2} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
