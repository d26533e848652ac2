"""What the kernel post costs: packets, new connections, changes; beside a list of rules and iptables.

Five nodes stand beside each other, each with a pod and a neighbour outside: with our table and no policy,
with our table (10 000 policies with 100 000 set members select the pod, the client is in the last),
with the same as a list of nftables rules, as a list in iptables (`make bench-dataplane` installs it), and
without any rule. Rounds are short and many, each of them beside one without policy; the ratio is the
median of theirs, for the same CPU time: who else is busy on the machine matters little then. All lists
accept established connections first, as everybody does. Nothing is judged here.
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
from typing import NamedTuple

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
NONE = "no policy"
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


def open_to_all(bed: Bed) -> NodeState:
    """One pod that no policy selects: its namespace's profile allows everything."""
    state = NodeState()
    allow = Rule(id="_profile/kns.default/ingress/0", action=Action.ALLOW)
    state.policies["_profile/kns.default"] = PolicyProgram(id="_profile/kns.default", ingress=(allow,))
    program = bed.pods["a"].program(profiles=("_profile/kns.default",))
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


class Rate(NamedTuple):
    """How much in a second, and how much for a second of the sender's CPU."""

    wall: float
    cpu: float


def _rate(work: Callable[[], int], seconds: float) -> Rate:
    """`work` again and again. The kernel forwards a packet in its sender's time: that counts as well."""
    done, start, cpu = 0, time.perf_counter(), time.thread_time()
    while (now := time.perf_counter()) - start < seconds:
        done += work()
    return Rate(done / (now - start), done / (time.thread_time() - cpu))


def throughput(bed: Bed, seconds: float) -> Rate:
    """Gbit of one TCP stream."""
    block = bytes(BLOCK)
    with bed.make("outside", 4, socket.SOCK_STREAM) as made:
        made.connect((bed.address("a", 4), PORT))
        found = _rate(lambda: made.send(block), seconds)
    return Rate(found.wall * 8 / 1e9, found.cpu * 8 / 1e9)


def connections(bed: Bed, seconds: float) -> Rate:
    """Connections opened and reset, one after the other."""
    address = (bed.address("a", 4), PORT)

    def one() -> int:
        with socket.socket() as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            made.connect(address)
        return 1

    return bed.inside("outside", lambda: _rate(one, seconds))


def traffic(policies: int, each: int, rounds: int, seconds: float) -> None:
    beds: dict[str, Bed] = {}
    servers = []
    try:
        variants: dict[str, Callable[[Bed], object]] = {
            NONE: lambda bed: _enforce(bed, open_to_all(bed)),
            "tsujiban": lambda bed: _enforce(bed, large(bed, policies, each)),
            "nftables list": lambda bed: linear(bed, policies, each),
        }
        if shutil.which("iptables-restore"):
            variants["iptables list"] = lambda bed: iptables(bed, policies, each)
        variants["no rule at all"] = lambda bed: None
        for name, load in variants.items():
            beds[name] = Bed(("a",))
            load(beds[name])
            servers.append(serve(beds[name]))
        figures = [Figures(throughput), Figures(connections)]
        for number in range(rounds):
            for name in [name for name in beds if name != NONE]:
                for figure in figures:
                    figure.compare(beds[NONE], beds[name], name, seconds, none_first=number % 2 == 0)
    finally:
        for server in servers:
            server.kill()
        for bed in beds.values():
            bed.close()
    title = f"{policies} policies, {policies * each} members; medians of {rounds} rounds of {seconds} s"
    table = Table("", "Gbit/s", "of no policy", "connections/s", "of no policy", title=title)
    for name in beds:
        table.add_row(
            name,
            figures[0].value(name, 1),
            figures[0].ratio(name),
            figures[1].value(name, 0),
            figures[1].ratio(name),
        )
    console.print(table)
    if "iptables list" not in beds:
        console.print("iptables is not installed: not measured (.ci/setup bench installs it).")


class Figures:
    """What one kind of traffic reached, and its ratio to the round without rules beside it."""

    def __init__(self, measure: Callable[[Bed, float], Rate]) -> None:
        self._measure = measure
        self._found: dict[str, list[float]] = {}
        self._ratios: dict[str, list[float]] = {}

    def compare(self, none: Bed, bed: Bed, name: str, seconds: float, *, none_first: bool) -> None:
        """One round of each."""
        first, second = (none, bed) if none_first else (bed, none)
        one, other = self._measure(first, seconds), self._measure(second, seconds)
        without, found = (one, other) if none_first else (other, one)
        self._found.setdefault(NONE, []).append(without.wall)
        self._found.setdefault(name, []).append(found.wall)
        self._ratios.setdefault(name, []).append(found.cpu / without.cpu)

    def value(self, name: str, digits: int) -> str:
        """The median."""
        return f"{statistics.median(self._found[name]):.{digits}f}"

    def ratio(self, name: str) -> str:
        """The median of the ratios, by CPU time; nothing for what all are compared with."""
        ratios = self._ratios.get(name)
        return f"{100 * statistics.median(ratios):.1f} %" if ratios else ""


def _enforce(bed: Bed, state: NodeState) -> KernelPost:
    post = bed.in_node(lambda: KernelPost(Settings()))
    post.sync(state, 1)
    return post


def _median(found: list[float]) -> float:
    return statistics.median(found)


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

        table = Table(*_COLUMNS, title=f"from a difference to enforced, {pods} pods on the node")
        for what, make in (("a pod joins a set", joined), ("a policy is edited", edited)):
            table.add_row(what, *_times(side, state, make, times))
        console.print(table)
        table = Table(*_COLUMNS, title="a set of 100 000 members changed by one")
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


_COLUMNS = ("", "p50 ms", "p99 ms", "CPU p50 ms")


def _must(side: KernelSide, state: NodeState, endpoints: set[str] | None) -> None:
    problems = asyncio.run(side.enforce(state, endpoints))
    if problems:
        raise RuntimeError(f"not enforced: {problems}")


def _times(
    side: KernelSide, state: NodeState, make: Callable[[int], NodeDelta], times: int
) -> tuple[str, str, str]:
    took, used = [], []
    for number in range(times):
        delta = make(number)
        start, cpu = time.perf_counter(), time.process_time()
        state.apply(delta)
        _must(side, state, set(state.endpoints))
        took.append((time.perf_counter() - start) * 1e3)
        used.append((time.process_time() - cpu) * 1e3)
    took.sort()
    return f"{_median(took):.1f}", f"{took[int(len(took) * 0.99)]:.1f}", f"{_median(used):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policies", type=int, default=10_000)
    parser.add_argument("--members", type=int, default=10, help="of each policy's set")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--changes", type=int, default=100)
    options, _ = parser.parse_known_args()
    traffic(options.policies, options.members, options.rounds, options.seconds)
    changes(250, options.changes)


if __name__ == "__main__":
    main()
