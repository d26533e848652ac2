"""The heart: random worlds in the real kernel, real packets, compared with the evaluator.

Every decision is compared by direction, verdict and rule id, Log rules included. What the kernel
decided is read from its own log. TSUJIBAN_SOAK is how many worlds to try (default 60).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.support.kernelbed import NODE4, NODE6, OUTSIDE4, OUTSIDE6, Bed, checksum, sctp_init, udplite, until

from tsujiban.kernel import runs
from tsujiban.kernel.apply import KernelPost
from tsujiban.kernel.conntrack import Conntrack
from tsujiban.kernel.hosts import Failsafe, Failsafes
from tsujiban.kernel.nflog import KernelEvent, KernelLog
from tsujiban.kernel.nft import Nft
from tsujiban.kernel.render import Settings, render
from tsujiban.kernel.verdicts import Logging
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Layer, Post
from tsujiban.policy.program import (
    Action,
    AddressSet,
    EndpointProgram,
    Http,
    Icmp,
    Member,
    Mesh,
    NodeState,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    ServiceMember,
    ServiceSet,
    Side,
    Tier,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(3600)]

WORLDS = int(os.environ.get("TSUJIBAN_SOAK", "60"))
REPORT = os.environ.get("TSUJIBAN_SOAK_REPORT", "")  # a line for each world: how many flows
FLOWS = 50 if REPORT else 8  # of one world at least: a soak is about flows, a test about worlds
GROUP = 17
PODS = ("a", "b")
A4, B4, A6, B6 = "10.244.0.2", "10.244.0.3", "fd44::2", "fd44::3"
NETS = (
    A4,
    B4 + "/32",
    "10.244.0.0/24",
    "0.0.0.0/0",
    OUTSIDE4,
    "172.31.250.0/30",
    A6,
    "fd44::/16",
    "::/0",
    OUTSIDE6,
)
PORTS = (53, 80, 81, 443)
SETS = {
    "s-a": (A4, A6),
    "s-b": (B4, B6),
    "s-pods": ("10.244.0.0/16", "fd44::/64", A4),
    "s-outside": (OUTSIDE4, "fd31::/64"),
    "s-none": (),
}
SERVICES = {
    "n-80": ((A4, 6, 80), (B4, 6, 80), (A6, 6, 80), (OUTSIDE4, 6, 80)),
    "n-53": ((B4, 17, 53), (B6, 17, 53), (OUTSIDE6, 17, 53), (B4, 6, 53)),
    "n-none": (),
}

_numbers = itertools.count(2000)  # source ports and ICMP ids: none is used twice in a row


@dataclass(frozen=True)
class Attempt:
    """One packet to be sent."""

    who: str
    to: str
    version: int
    protocol: int
    port: int = 0
    kind: int = 0  # of ICMP
    code: int = 0


def some(values: tuple[str, ...], most: int = 2) -> SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True).map(tuple)


def rarely(
    strategy: SearchStrategy[object], otherwise: object = None, *, one_in: int = 4
) -> SearchStrategy[object]:
    return st.integers(1, one_in).flatmap(lambda n: strategy if n == 1 else st.just(otherwise))


port_ranges = st.one_of(
    st.sampled_from(PORTS).map(lambda port: PortRange(first=port, last=port)),
    st.just(PortRange(first=80, last=81)),
    st.just(PortRange(first=0, last=65535)),
    st.just(PortRange(first=1000, last=30000)),
)
port_clauses = st.builds(
    Ports,
    ranges=st.lists(port_ranges, max_size=3).map(tuple),
    named=some((*SERVICES, "n-missing")),
).filter(lambda ports: bool(ports.ranges or ports.named))
sides = st.builds(
    Side,
    nets=rarely(some(NETS, 3)),
    not_nets=rarely(some(NETS), ()),
    sets=rarely(some((*SETS, "s-missing")), ()),
    not_sets=rarely(some((*SETS, "s-missing")), ()),
    services=rarely(some((*SERVICES, "n-missing")), (), one_in=8),
    ports=rarely(port_clauses),
    not_ports=rarely(port_clauses, one_in=8),
)
protocol_clauses = st.sampled_from(((), (6,), (17,), (6, 17), (1,), (58,), (1, 6), (132,)))
icmps = st.builds(Icmp, type=st.sampled_from((None, 8, 13, 128)), code=st.sampled_from((None, 0, 1)))
rules = st.builds(
    Rule,
    id=st.just(""),
    action=st.sampled_from((Action.ALLOW, Action.ALLOW, Action.DENY, Action.PASS, Action.LOG)),
    ip_version=rarely(st.sampled_from((4, 6)), one_in=6),
    protocols=protocol_clauses,
    not_protocols=rarely(protocol_clauses, (), one_in=6),
    icmp=rarely(icmps, one_in=8),
    not_icmp=rarely(icmps, one_in=8),
    src=sides,
    dst=sides,
    http=rarely(st.just(Http(methods=("GET",))), one_in=8),
)
# rules that runs are made of
plain = st.builds(
    Rule,
    id=st.just(""),
    action=st.sampled_from((Action.ALLOW, Action.DENY)),
    protocols=st.just((6,)),
    src=st.sampled_from(
        (Side(sets=("s-a",)), Side(sets=("s-b",)), Side(nets=(A4, A6)), Side(nets=(OUTSIDE4,)))
    ),
    dst=port_ranges.map(lambda one: Side(ports=Ports(ranges=(one,)))),
)
many = st.lists(rules, max_size=4) | st.lists(rules | plain, max_size=6) | st.lists(plain, max_size=6)
POLICIES = ("p0", "p1", "p2", "p3")
PROFILE = "p3"  # profiles are never staged
# what a policy may be about beside the usual; of meaning at host endpoints only
EARLY = ("pre_dnat", "do_not_track")
KINDS = ("", "", "", "apply_on_forward", *EARLY)
HOST = "host/node-1"


def named(policy: str, direction: str, found: list[Rule]) -> tuple[Rule, ...]:
    """The rules, with ids."""
    fields = Rule.__struct_fields__
    return tuple(
        Rule(**{field: getattr(rule, field) for field in fields} | {"id": f"{policy}/{direction}/{index}"})
        for index, rule in enumerate(found)
    )


@st.composite
def worlds(draw: st.DrawFn) -> NodeState:
    state = NodeState()
    for name, every in SETS.items():
        members = draw(some(every, 3)) if name in ("s-a", "s-b") and draw(st.booleans()) else every
        state.sets[name] = AddressSet(id=name, members=frozenset(Member(net=net) for net in members))
    for name, triples in SERVICES.items():
        found = frozenset(
            ServiceMember(address=a, protocol=protocol, port=port) for a, protocol, port in triples
        )
        state.service_sets[name] = ServiceSet(id=name, members=found)
    for policy in POLICIES:
        kind = draw(st.sampled_from(KINDS))
        state.policies[policy] = PolicyProgram(
            id=policy,
            staged=policy != PROFILE and draw(st.integers(0, 5)) == 0,
            apply_on_forward=bool(kind),
            pre_dnat=kind == "pre_dnat",
            do_not_track=kind == "do_not_track",
            ingress=named(policy, "ingress", draw(many)),
            egress=named(policy, "egress", draw(many)),
        )
    return state


@st.composite
def tiers(draw: st.DrawFn, direction: str) -> tuple[Tier, ...]:
    return tuple(
        Tier(
            name=name,
            default_action=draw(st.sampled_from((Action.DENY, Action.PASS))),
            default_id=f"_tier/{name}/{direction}/default",
            policies=draw(some((*POLICIES, *POLICIES, "p-missing"), 3)),
        )
        for name in ("t0", "t1", "t2")[: draw(st.integers(0, 3))]
    )


attempts = st.builds(
    lambda ends, version, protocol, port, kind, code: Attempt(
        ends[0],
        ends[1],
        version,
        protocol if protocol != 1 or version == 4 else 58,
        0 if protocol == 1 else port,
        (kind if version == 4 else {8: 128, 13: 139}[kind]) if protocol == 1 else 0,
        code if protocol == 1 else 0,
    ),
    st.sampled_from(
        [
            (who, to)
            for who in ("a", "b", "outside", "node")
            for to in ("a", "b", "outside", "node")
            if who != to and not (who in PODS and to == "node")
        ]
    ),
    st.sampled_from((4, 6)),
    st.sampled_from((6, 6, 17, 1, 132, 136)),
    st.sampled_from(PORTS),
    st.sampled_from((8, 13)),
    st.sampled_from((0, 1)),
)


@pytest.fixture(scope="module")
def rig(bed: Bed) -> Iterator[tuple[KernelPost, KernelLog, Conntrack]]:
    logging = Logging(group=GROUP, rate=1_000_000, burst=1_000_000)
    lifeline = (Failsafe(6, 22),)  # no attempt is about it: what the evaluator does not know of
    chosen = Settings(logging=logging, failsafes=Failsafes(lifeline, lifeline))
    post = bed.in_node(lambda: KernelPost(chosen, Nft()))
    log = bed.in_node(lambda: KernelLog(GROUP, post.owners, post.long_ids))
    conntrack = bed.in_node(Conntrack)
    yield post, log, conntrack
    log.close()
    conntrack.close()
    post.close()


def send(bed: Bed, attempt: Attempt, number: int) -> None:
    """One packet; whatever comes back is nobody's business. What the node drops of itself is EPERM."""
    source, to = bed.address(attempt.who, attempt.version), bed.address(attempt.to, attempt.version)
    if attempt.protocol in (1, 58):
        with bed.make(attempt.who, attempt.version, socket.SOCK_RAW, attempt.protocol) as made:
            header = struct.pack("!BBHHH", attempt.kind, attempt.code, 0, number, 1)
            if attempt.version == 4:
                header = struct.pack("!BBHHH", attempt.kind, attempt.code, checksum(header), number, 1)
            with contextlib.suppress(PermissionError):
                made.sendto(header, (to, 0))
        return
    if attempt.protocol in (132, 136):  # a kernel without them still tracks them
        packet = (
            sctp_init(number, attempt.port)
            if attempt.protocol == 132
            else udplite(source, to, number, attempt.port)
        )
        with (
            bed.make(attempt.who, attempt.version, socket.SOCK_RAW, attempt.protocol) as made,
            contextlib.suppress(PermissionError),
        ):
            made.sendto(packet, (to, 0))
        return
    kind = socket.SOCK_STREAM if attempt.protocol == 6 else socket.SOCK_DGRAM
    with bed.make(attempt.who, attempt.version, kind) as made:
        made.setblocking(False)
        made.bind((source, number))
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError, PermissionError):
            made.connect((to, attempt.port))
            made.send(b"?")


Key = tuple[str, str, int, int, int]
Decision = tuple[str, Action, str]


def in_order(state: NodeState, layers: Sequence[Layer]) -> list[Decision]:
    """The decisions as a packet meets them: early policies of host endpoints come first of all."""
    early: list[Decision] = []
    late: list[Decision] = []
    for layer in layers:
        way = layer.layer.removeprefix("forward-")
        first = way == "ingress" and layer.endpoint == HOST
        for rule in layer.logged:
            (early if first and is_early(state, rule) else late).append((way, Action.LOG, rule))
        decided = early if first and is_early(state, layer.rule) else late
        decided.append((way, layer.verdict, layer.rule))
    return early + late


def is_early(state: NodeState, rule: str) -> bool:
    """Whether an early policy of the host endpoint said so; a tier that lacks a policy says no at once."""
    policy = state.policies.get(rule.split("/")[0])
    if policy is not None:
        return any(getattr(policy, kind) for kind in EARLY)
    return any(
        tier.default_id == rule and not state.policies.keys() >= set(tier.policies)
        for tier in state.endpoints[HOST].ingress
    )


def key_of(event: KernelEvent) -> Key:
    packet = event.packet
    if packet.icmp_type is not None:
        return (packet.source, packet.destination, packet.protocol, packet.icmp_type, packet.icmp_code or 0)
    return (packet.source, packet.destination, packet.protocol, packet.source_port, packet.destination_port)


def expected(bed: Bed, state: NodeState, attempt: Attempt, number: int) -> tuple[Key, set[Decision]]:
    icmp = attempt.protocol in (1, 58)
    flow = Flow(
        source=bed.address(attempt.who, attempt.version),
        destination=bed.address(attempt.to, attempt.version),
        protocol=attempt.protocol,
        port=attempt.port,
        source_port=None if icmp else number,
        icmp_type=attempt.kind if icmp else None,
        icmp_code=attempt.code if icmp else None,
    )
    found: set[Decision] = set()
    for way, verdict, rule in in_order(state, evaluate(state, flow, Post.KERNEL).layers):
        if rule:
            found.add((way, verdict, rule))
        if verdict is Action.DENY:
            break  # the packet is gone
    details = (attempt.kind, attempt.code) if icmp else (number, attempt.port)
    return (flow.source, flow.destination, flow.protocol, *details), found


@settings(
    max_examples=WORLDS,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(
    state=worlds(),
    programs=st.tuples(tiers("ingress"), tiers("egress"), tiers("ingress"), tiers("egress")),
    profiles=st.tuples(some((PROFILE, "p-missing")), some((PROFILE,))),
    meshes=st.tuples(st.sampled_from((Mesh.NONE, Mesh.SIDECAR)), st.sampled_from((Mesh.NONE, Mesh.SIDECAR))),
    host=st.none() | st.tuples(st.sampled_from(("*", "eth0", "")), tiers("ingress"), tiers("egress")),
    reject=st.booleans(),
    least=st.sampled_from((1, 2, 8)),
    tried=st.lists(attempts, min_size=FLOWS, max_size=max(40, 2 * FLOWS), unique=True),
)
def test_the_kernel_says_what_the_evaluator_says(
    bed: Bed,
    rig: tuple[KernelPost, KernelLog, Conntrack],
    state: NodeState,
    programs: tuple[tuple[Tier, ...], ...],
    profiles: tuple[tuple[str, ...], tuple[str, ...]],
    meshes: tuple[Mesh, Mesh],
    host: tuple[str, tuple[Tier, ...], tuple[Tier, ...]] | None,
    reject: bool,
    least: int,
    monkeypatch: pytest.MonkeyPatch,
    tried: list[Attempt],
) -> None:
    post, log, conntrack = rig
    if host is not None:
        state.endpoints[HOST] = EndpointProgram(
            id=HOST,
            node="node-1",
            host=True,
            interface=host[0],
            addresses=(NODE4, NODE6),
            ingress=host[1],
            egress=host[2],
            profiles=profiles[0],
        )
    for index, pod in enumerate(PODS):
        program = bed.pods[pod].program(
            ingress=programs[2 * index],
            egress=programs[2 * index + 1],
            profiles=profiles[index],
            mesh=meshes[index],
        )
        state.endpoints[program.id] = program
    monkeypatch.setattr(runs, "LEAST_RULES", least)
    monkeypatch.setattr(runs, "LEAST_POLICIES", least)
    post.settings = replace(post.settings, reject=reject)
    post.sync(state, 1)
    assert (
        post.verify(thorough=True) == ()
    )  # the difference from the world before has led to exactly this one
    assert post.rendered is not None
    assert post.rendered.table == render(state, post.settings, own=post.own).table
    for connection in conntrack.connections():
        conntrack.end(connection)
    while log.read():
        pass
    wanted: dict[Key, set[Decision]] = {}
    for attempt in tried:
        number = 2000 + (next(_numbers) % 50000)
        key, decisions = expected(bed, state, attempt, number)
        wanted[key] = decisions
        note(f"{attempt} {key}")
        send(bed, attempt, number)
    seen: dict[Key, set[Decision]] = {key: set() for key in wanted}

    def all_decided() -> bool:
        for event in log.read():
            if not event.staged and key_of(event) in seen:
                seen[key_of(event)].add((str(event.direction), event.verdict, event.rule))
        return all(len(seen[key]) >= len(wanted[key]) for key in wanted)

    with contextlib.suppress(AssertionError):
        until(all_decided, 0.3)
    assert seen == wanted
    assert log.lost == 0
    if REPORT:
        with open(REPORT, "a") as report:
            report.write(f"kernel {len(wanted)}\n")
