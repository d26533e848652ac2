"""`make bench-policy`: what the policy engine costs, and how that grows; one table, one run.

A cluster of N pods has N/10 namespaces and N/5 policies in mixed dialects (half Kubernetes, a
quarter Calico, a quarter Istio, and a fixed number of cluster-wide ones). Columns stand side by
side because machines differ and ratios do not. The child process of each size measures its own
peak memory.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec

from tsujiban.cli.answers import FastAnswers, batches
from tsujiban.cli.flowline import FlowLine
from tsujiban.policy.bulk import BulkEvaluator
from tsujiban.policy.bulk.lines import line_of
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Request
from tsujiban.policy.graph import Change, PolicyGraph, key_of
from tsujiban.policy.offline import End
from tsujiban.policy.world import World
from tsujiban.resources.load import decode

Json = dict[str, Any]
T = TypeVar("T")

NODES = 100
SIZES = (1_000, 10_000, 50_000)
STREAM = "`tsujiban verdict`: lines read, judged, answered, flows/s"
TARGETS = {
    "cold compile, s": 5.0,
    "peak memory, MiB": 1024.0,
    "pod relabelled, ms": 2.0,
    "pod added, ms": 2.0,
    "policy changed, ms": 10.0,
    STREAM: 100_000.0,
}


def pod(namespace: int, number: int, index: int, app: str | None = None) -> Json:
    address = f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"p{number}",
            "namespace": f"ns{namespace}",
            "uid": f"{namespace}-{number}",
            "labels": {"app": app or f"a{number % 5}", "version": f"v{number % 2}"},
        },
        "spec": {
            "nodeName": f"n{index % NODES}",
            "serviceAccountName": f"sa{number % 3}",
            "containers": [{"name": "c", "image": "host", "ports": [{"name": "web", "containerPort": 8080}]}],
        },
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    }


def kubernetes(namespace: int, number: int, port: int = 8080) -> Json:
    peers = [
        {"podSelector": {"matchLabels": {"app": f"a{(number + 1) % 5}"}}},
        {
            "namespaceSelector": {"matchLabels": {"team": f"t{namespace % 20}"}},
            "podSelector": {"matchLabels": {"app": "a0"}},
        },
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"np{number}", "namespace": f"ns{namespace}"},
        "spec": {
            "podSelector": {"matchLabels": {"app": f"a{number % 5}"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": peers, "ports": [{"port": port}, {"port": "web"}]}],
        },
    }


def calico(namespace: int, number: int) -> Json:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"c{number}", "namespace": f"ns{namespace}"},
        "spec": {
            "order": 10 + number,
            "selector": f"app == 'a{number % 5}' && version in {{'v0', 'v1'}}",
            "types": ["Ingress", "Egress"],
            "ingress": [
                {
                    "action": "Allow",
                    "protocol": "TCP",
                    "source": {"serviceAccounts": {"names": ["sa1"]}},
                    "destination": {"ports": ["8000:8100"]},
                    "http": {"methods": ["GET"], "paths": [{"prefix": "/api"}]},
                },
                {"action": "Pass"},
            ],
            "egress": [{"action": "Deny", "destination": {"nets": ["192.0.2.0/24"]}}, {"action": "Allow"}],
        },
    }


def istio(namespace: int, number: int) -> Json:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": f"ap{number}", "namespace": f"ns{namespace}"},
        "spec": {
            "selector": {"matchLabels": {"app": f"a{number % 5}"}},
            "action": "ALLOW",
            "rules": [{"from": [{"source": {"namespaces": [f"ns{namespace}", "ns1*"]}}]}],
        },
    }


def cluster_wide(number: int) -> Json:
    if number % 2:
        return {
            "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": f"cl{number}"},
            "spec": {
                "tier": "Admin",
                "priority": number,
                "subject": {"namespaces": {"matchLabels": {"team": f"t{number}"}}},
                "ingress": [
                    {"action": "Deny", "from": [{"namespaces": {"matchLabels": {"team": f"t{number + 1}"}}}]}
                ],
            },
        }
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": f"g{number}"},
        "spec": {
            "order": 2000 + number,
            "namespaceSelector": f"team == 't{number}'",
            "types": ["Ingress"],
            "ingress": [{"action": "Allow", "source": {"selector": "app == 'a1'"}}],
        },
    }


def cluster(pods: int) -> list[Json]:
    """A whole cluster; policies are a fifth as many as pods."""
    namespaces = pods // 10
    made: list[Json] = []
    for namespace in range(namespaces):
        made.append(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": f"ns{namespace}", "labels": {"team": f"t{namespace % 20}"}},
            }
        )
        made += [pod(namespace, number, namespace * 10 + number) for number in range(10)]
        made.append(kubernetes(namespace, namespace))
        made.append((calico if namespace % 2 else istio)(namespace, namespace))
    made += [cluster_wide(number) for number in range(20)]
    return made


def change(raw: Json) -> Change:
    found = decode(raw)
    return key_of(found), found


def median_ms(count: int, work: Callable[[int], object]) -> float:
    """Median of `count` runs, in milliseconds."""
    took = []
    for number in range(count):
        start = time.process_time()
        work(number)
        took.append((time.process_time() - start) * 1000)
    return statistics.median(took)


def flows(pods: int, count: int) -> list[Flow]:
    random = Random(7)  # noqa: S311  (not a secret)

    def name() -> tuple[str, str]:
        index = random.randrange(pods)
        address = f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
        return address, f"ns{index // 10}/p{index % 10}"

    made = []
    for _ in range(count):
        here, source = name()
        there, destination = name()
        http = Request(method="GET", path="/api/x") if random.random() < 0.5 else None
        made.append(
            Flow(
                source=here,
                destination=there,
                source_endpoint=source,
                destination_endpoint=destination,
                port=random.choice((80, 8080, 443)),
                http=http,
            )
        )
    return made


def measure(pods: int, count: int) -> dict[str, float]:
    """All figures of one size."""
    changes = [change(raw) for raw in cluster(pods)]
    gc.collect()
    graph = PolicyGraph()
    start = time.process_time()
    graph.apply(changes)
    cold = time.process_time() - start
    for node in range(NODES):
        graph.snapshot(f"n{node}", 1)
    namespaces = pods // 10
    step = max(1, namespaces // 200)

    def heard(batch: list[Change]) -> None:
        graph.apply(batch)
        graph.delta("n0", 2)

    relabels = [
        change(pod(n * step % namespaces, 3, n * step % namespaces * 10 + 3, app="a1")) for n in range(200)
    ]
    added = [change(pod(n * step % namespaces, 77, 1 << 20 | n)) for n in range(200)]
    edits = [
        change(kubernetes(n * step % namespaces, n * step % namespaces, port=9000 + n)) for n in range(200)
    ]
    relabelled = median_ms(200, lambda n: heard([relabels[n]]))
    grown = median_ms(200, lambda n: heard([added[n]]))
    edited = median_ms(200, lambda n: heard([edits[n]]))
    world = World(graph.state())
    asked = flows(pods, count)
    few = asked[: min(2000, count)]
    gc.collect()
    gc.freeze()
    start = time.process_time()
    verdicts = [evaluate(world, flow) for flow in few]
    slow = len(few) / (time.process_time() - start)
    bulk = BulkEvaluator(world)
    if [bulk(flow) for flow in few] != verdicts:
        raise SystemExit("bulk evaluation differs from the definition")
    fast = steady(asked, bulk)
    text = b"".join(record(flow) for flow in asked)
    answers, decode = FastAnswers(world, named(world)), msgspec.json.Decoder(FlowLine).decode
    told: list[bytes] = []

    def answer(lines: list[bytes]) -> None:
        told[:] = [answers.line(decode(line)) for line in lines]

    streamed = steady([*batches(io.BytesIO(text))], answer, per=count)
    if told[-1] != line_of(evaluate(world, asked[-1])):
        raise SystemExit("the answers of the stream differ from the definition's")
    return {
        "objects": float(len(changes)),
        "cold compile, s": cold,
        "peak memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "pod relabelled, ms": relabelled,
        "pod added, ms": grown,
        "policy changed, ms": edited,
        STREAM: streamed,
        "verdicts in bulk, flows/s": fast,
        "verdicts by definition, flows/s": slow,
    }


def steady(asked: Sequence[T], judge: Callable[[T], object], per: int = 0) -> float:
    """Flows a second, `per` (or one for each asked) in all, once everything has been asked before."""
    for one in asked:
        judge(one)
    start = time.process_time()
    for one in asked:
        judge(one)
    return (per or len(asked)) / (time.process_time() - start)


def record(flow: Flow) -> bytes:
    """A flow as a line of a flows file."""
    said = {"src": flow.source_endpoint, "dst": flow.destination_endpoint, "port": flow.port}
    if flow.http is not None:
        said |= {"method": flow.http.method, "path": flow.http.path}
    return msgspec.json.encode(said) + b"\n"


def named(world: World) -> Callable[[str], End]:
    """What the names of pods stand for."""
    return lambda name: End(name=name, endpoint=name, addresses=world.endpoints[name].addresses)


def start_up() -> float:
    """Processor time of `tsujiban verdict` for one policy, one pod and one flow, in milliseconds; the
    median of nine. The first run is not counted: it may have to compile the modules."""
    took = []
    with tempfile.TemporaryDirectory() as folder:
        policies, asked = Path(folder) / "policies.json", Path(folder) / "flows.jsonl"
        items = [pod(0, 0, 1), kubernetes(0, 0)]
        policies.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        asked.write_text('{"src": "192.0.2.1", "dst": "ns0/p0", "port": 80}\n')
        command = [sys.executable, "-m", "tsujiban", "verdict", "-f", str(policies), "--flows", str(asked)]
        for _ in range(10):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(took[1:]) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of pods")
    parser.add_argument("--flows", type=int, default=100_000)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.flows)))
        return
    columns = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", str(size), "--flows", str(options.flows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        columns.append(json.loads(done.stdout))
    print("| | " + " | ".join(f"{size:,} pods" for size in options.sizes) + " |")
    print("|---|" + "---:|" * len(columns))
    for row in columns[0]:
        target = f" (target at 10k: {TARGETS[row]:,g})" if row in TARGETS else ""
        print(
            f"| {row}{target} | "
            + " | ".join(
                f"{column[row]:,.2f}" if column[row] < 100 else f"{column[row]:,.0f}" for column in columns
            )
            + " |"
        )
    print(f"\nStart-up of `tsujiban verdict`: {start_up():.0f} ms of processor time (target: 150)")


if __name__ == "__main__":
    main()
