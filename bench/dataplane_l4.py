"""What the kernel post costs: packets, new connections, changes; beside a list of rules and iptables.

Four nodes stand beside each other, each with a pod and a neighbour outside: without rules, with our
table (10 000 policies with 100 000 set members select the pod, the client is in the last), with the
same as a list of nftables rules, and as a list in iptables. Rounds go over all of them in turn. All
lists accept established connections first, as everybody does. Nothing is judged here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from multiprocessing.process import BaseProcess

from rich.console import Console
from rich.table import Table
from tests.support.kernelbed import NODE4, OUTSIDE4, Bed

from tsujiban.agent.kernelside import KernelSide
from tsujiban.kernel.apply import KernelPost
from tsujiban.kernel.render import Settings
from tsujiban.policy.program import (
    Action,
    AddressSet,
    EndpointProgram,
    Member,
    NodeDelta,
    NodeState,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    SetChange,
    Side,
    Tier,
)

PORT = 80
BLOCK = 1 << 20
BASE = int(IPv4Address("11.0.0.0"))
console = Console(width=110)


def hosts(first: int, count: int) -> list[str]:
    return [str(IPv4Address(BASE + n)) for n in range(first, first + count)]


def members(nets: list[str]) -> frozenset[Member]:
    return frozenset(Member(net=net) for net in nets)


def large(bed: Bed, policies: int, each: int) -> NodeState:
    """One pod, many policies, the client in the last one's set."""
    state = NodeState()
    ports = Side(ports=Ports(ranges=(PortRange(first=PORT, last=PORT),)))
    for number in range(policies):
        name = f"default/p{number}"
        nets = hosts(number * each, each) + ([OUTSIDE4] if number == policies - 1 else [])
        state.sets[name] = AddressSet(id=name, members=members(nets))
        rule = Rule(
            id=f"{name}/ingress/0", action=Action.ALLOW, protocols=(6,), src=Side(sets=(name,)), dst=ports
        )
        state.policies[name] = PolicyProgram(id=name, ingress=(rule,))
    tier = Tier(
        name="default",
        default_action=Action.DENY,
        default_id="_tier/default/ingress/default",
        policies=tuple(state.policies),
    )
    program = bed.pods["a"].program(ingress=(tier,))
    state.endpoints[program.id] = program
    return state


def linear(bed: Bed, rules: int, each: int) -> None:
    """The same as a list, as a person would write it: a rule for each policy, by its first member's /28."""
    lines = ["ct state established,related accept"]
    lines += [f"ip saddr {IPv4Address(BASE + n * each)} tcp dport {PORT} accept" for n in range(rules - 1)]
    lines += [f"ip saddr {OUTSIDE4} tcp dport {PORT} accept", "drop"]
    text = "table ip rules {\n chain forward {\n type filter hook forward priority 0;\n"
    _run(bed, ["nft", "-f", "-"], text + "\n".join(lines) + "\n}\n}\n")


def iptables(bed: Bed, rules: int, each: int) -> None:
    lines = ["*filter", "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"]
    sources = [str(IPv4Address(BASE + n * each)) for n in range(rules - 1)]
    lines += [f"-A FORWARD -s {one} -p tcp --dport {PORT} -j ACCEPT" for one in (*sources, OUTSIDE4)]
    _run(bed, ["iptables-restore"], "\n".join([*lines, "-A FORWARD -j DROP", "COMMIT", ""]))


def _run(bed: Bed, command: list[str], text: str) -> None:
    full = ["ip", "netns", "exec", bed.node, *command]
    subprocess.run(full, input=text, text=True, check=True, capture_output=True)


# ------------------------------------------------------------------ traffic


def serve(bed: Bed) -> BaseProcess:
    """Takes connections and reads all that comes."""
    listener = bed.listen("a", PORT)
    listener.listen(4096)

    def work() -> None:
        buffer = bytearray(BLOCK)
        while True:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    while connection.recv_into(buffer):
                        pass

    process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    process.start()
    listener.close()
    return process


def throughput(bed: Bed, seconds: float) -> float:
    """Gbit/s of one TCP stream."""
    block = bytes(BLOCK)
    with bed.make("outside", 4, socket.SOCK_STREAM) as made:
        made.connect((bed.address("a", 4), PORT))
        sent, start = 0, time.perf_counter()
        while (now := time.perf_counter()) - start < seconds:
            sent += made.send(block)
        return sent * 8 / (now - start) / 1e9


def connections(bed: Bed, seconds: float) -> float:
    """Connections opened and reset, one after the other, in a second."""
    address = (bed.address("a", 4), PORT)
    count, start = 0, time.perf_counter()

    def work() -> tuple[int, float]:
        nonlocal count
        while (now := time.perf_counter()) - start < seconds:
            with socket.socket() as made:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                made.connect(address)
            count += 1
        return count, now - start

    done, took = bed.inside("outside", work)
    return done / took


def traffic(policies: int, each: int, rounds: int, seconds: float) -> None:
    beds: dict[str, Bed] = {}
    servers = []
    try:
        variants: dict[str, Callable[[Bed], object]] = {
            "no policy": lambda bed: None,
            "tsujiban": lambda bed: _enforce(bed, large(bed, policies, each)),
            "nftables list": lambda bed: linear(bed, policies, each),
        }
        if shutil.which("iptables-restore"):
            variants["iptables list"] = lambda bed: iptables(bed, policies, each)
        for name, load in variants.items():
            beds[name] = Bed(("a",))
            load(beds[name])
            servers.append(serve(beds[name]))
        stream: dict[str, list[float]] = {name: [] for name in beds}
        opened: dict[str, list[float]] = {name: [] for name in beds}
        for _ in range(rounds):
            for name, bed in beds.items():
                stream[name].append(throughput(bed, seconds))
            for name, bed in beds.items():
                opened[name].append(connections(bed, seconds))
    finally:
        for server in servers:
            server.kill()
        for bed in beds.values():
            bed.close()
    table = Table(
        "",
        "Gbit/s",
        "of none",
        "connections/s",
        "of none",
        title=f"{policies} policies, {policies * each} members",
    )
    for name in beds:
        table.add_row(
            name,
            f"{_median(stream[name]):.1f}",
            _ratio(stream, name),
            f"{_median(opened[name]):.0f}",
            _ratio(opened, name),
        )
    console.print(table)


def _enforce(bed: Bed, state: NodeState) -> KernelPost:
    post = bed.in_node(lambda: KernelPost(Settings()))
    post.sync(state, 1)
    return post


def _median(found: list[float]) -> float:
    return statistics.median(found)


def _ratio(found: dict[str, list[float]], name: str) -> str:
    """Of each round's own figure without rules: what disturbs a round disturbs both."""
    pairs = zip(found[name], found["no policy"], strict=True)
    return f"{100 * _median([one / none for one, none in pairs]):.0f} %"


# ------------------------------------------------------------------ changes


def busy(pods: int, policies: int) -> NodeState:
    """A node full of pods; each is selected by a dozen policies of a namespace of its own kind."""
    state = NodeState()
    ports = Side(ports=Ports(ranges=(PortRange(first=8080, last=8080),)))
    for number in range(policies):
        name = f"default/p{number}"
        state.sets[name] = AddressSet(id=name, members=members(hosts(number * 100, 100)))
        rule = Rule(
            id=f"{name}/ingress/0", action=Action.ALLOW, protocols=(6,), src=Side(sets=(name,)), dst=ports
        )
        state.policies[name] = PolicyProgram(id=name, ingress=(rule,))
    for number in range(pods):
        chosen = tuple(f"default/p{(number * 7 + step) % policies}" for step in range(12))
        tier = Tier(
            name="default",
            default_action=Action.DENY,
            default_id="_tier/default/ingress/default",
            policies=chosen,
        )
        pod = EndpointProgram(
            id=f"default/pod{number}",
            node="node-1",
            interface=f"tsj{number:012x}",
            mac=f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}",
            addresses=(f"10.244.{number >> 8}.{number & 255}",),
            ingress=(tier,),
        )
        state.endpoints[pod.id] = pod
    return state


def changes(pods: int, times: int) -> None:
    """From a difference's arrival to the kernel's word that it is in force, illegal connections ended."""
    bed = Bed(())
    try:
        side = bed.in_node(lambda: KernelSide(NODE4, lambda ended: None))
        state = busy(pods, 200)
        _must(side, state, None)

        def joined(number: int) -> NodeDelta:
            change = SetChange(added=members([f"12.0.{number >> 8}.{number & 255}"]))
            return NodeDelta(revision=number, sets={f"default/p{number % 200}": change})

        def edited(number: int) -> NodeDelta:
            name = f"default/p{number % 200}"
            port = Side(ports=Ports(ranges=(PortRange(first=1000 + number, last=1000 + number),)))
            rule = Rule(
                id=f"{name}/ingress/0", action=Action.ALLOW, protocols=(6,), src=Side(sets=(name,)), dst=port
            )
            return NodeDelta(revision=number, policies={name: PolicyProgram(id=name, ingress=(rule,))})

        table = Table("", "p50 ms", "p99 ms", title=f"from a difference to enforced, {pods} pods on the node")
        for what, make in (("a pod joins a set", joined), ("a policy is edited", edited)):
            table.add_row(what, *_times(side, state, make, times))
        console.print(table)
        table = Table("", "p50 ms", "p99 ms", title="a set of 100 000 members changed by one")
        for what, extra in (("single addresses", []), ("with networks", ["13.0.0.0/8"])):
            wide = NodeState()
            ends = [str(IPv4Address(BASE + 2 * n)) for n in range(100_000)]
            wide.sets["default/p0"] = AddressSet(id="default/p0", members=members(ends + extra))
            rule = Rule(id="default/p0/ingress/0", action=Action.ALLOW, src=Side(sets=("default/p0",)))
            wide.policies["default/p0"] = PolicyProgram(id="default/p0", ingress=(rule,))
            tier = Tier(name="t", default_action=Action.DENY, default_id="_t", policies=("default/p0",))
            wide.endpoints["default/a"] = EndpointProgram(
                id="default/a", node="node-1", interface="tsja", addresses=("10.244.0.2",), ingress=(tier,)
            )
            _must(side, wide, None)

            def one(number: int) -> NodeDelta:
                change = SetChange(added=members([f"14.0.{number >> 8}.{number & 255}"]))
                return NodeDelta(revision=number, sets={"default/p0": change})

            table.add_row(what, *_times(side, wide, one, times))
        console.print(table)
    finally:
        bed.close()


def _must(side: KernelSide, state: NodeState, endpoints: set[str] | None) -> None:
    problems = asyncio.run(side.enforce(state, endpoints))
    if problems:
        raise RuntimeError(f"not enforced: {problems}")


def _times(
    side: KernelSide, state: NodeState, make: Callable[[int], NodeDelta], times: int
) -> tuple[str, str]:
    took = []
    for number in range(times):
        delta = make(number)
        start = time.perf_counter()
        state.apply(delta)
        _must(side, state, set(state.endpoints))
        took.append((time.perf_counter() - start) * 1e3)
    took.sort()
    return f"{_median(took):.1f}", f"{took[int(len(took) * 0.99)]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policies", type=int, default=10_000)
    parser.add_argument("--members", type=int, default=10, help="of each policy's set")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--changes", type=int, default=100)
    options, _ = parser.parse_known_args()
    traffic(options.policies, options.members, options.rounds, options.seconds)
    changes(250, options.changes)


if __name__ == "__main__":
    main()
