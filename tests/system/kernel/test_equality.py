"""The heart: random programs in the real kernel, real packets, compared with the evaluator.

Every clause and every order that a program can have; `test_equality_manifests.py` begins with manifests.
TSUJIBAN_SOAK is how many worlds to try (default 60).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.support import soaking
from tests.support.kernelbed import NODE4, NODE6, OUTSIDE4, OUTSIDE6, Bed
from tests.support.kernelflows import Attempt, Judge

from tsujiban.kernel import runs
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Post
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

pytestmark = [pytest.mark.system, pytest.mark.timeout(soaking.SECONDS)]

WORLDS = soaking.worlds(60)
FLOWS = 50 if soaking.REPORT else 8  # of one world at least: a soak is about flows, a test about worlds
PODS = ("a", "b")
A4, B4, A6, B6 = "10.244.0.2", "10.244.0.3", "fd44::2", "fd44::3"
ADDRESSES = {"a": (A4, A6), "b": (B4, B6), "outside": (OUTSIDE4, OUTSIDE6), "node": (NODE4, NODE6)}
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
KINDS = ("", "", "", "apply_on_forward", "pre_dnat", "do_not_track")
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


def attempt_of(
    ends: tuple[str, str], version: int, protocol: int, port: int, kind: int, code: int
) -> Attempt:
    """A packet between two of `ADDRESSES`."""
    icmp = protocol == 1
    return Attempt(
        ends[0],
        ADDRESSES[ends[0]][version == 6],
        ADDRESSES[ends[1]][version == 6],
        58 if icmp and version == 6 else protocol,
        0 if icmp else port,
        (kind if version == 4 else {8: 128, 13: 139}[kind]) if icmp else 0,
        code if icmp else 0,
    )


attempts = st.builds(
    attempt_of,
    st.sampled_from(
        [
            (who, to)
            for who in ADDRESSES
            for to in ADDRESSES
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
def judge(bed: Bed) -> Iterator[Judge]:
    made = Judge(bed)
    yield made
    made.close()


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
    judge: Judge,
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
        program = judge.bed.pods[pod].program(
            ingress=programs[2 * index],
            egress=programs[2 * index + 1],
            profiles=profiles[index],
            mesh=meshes[index],
        )
        state.endpoints[program.id] = program
    monkeypatch.setattr(runs, "LEAST_RULES", least)
    monkeypatch.setattr(runs, "LEAST_POLICIES", least)
    with soaking.world("kernel") as compared:
        judge.settle(state, reject=reject)
        assert judge.differences(state, tried, lambda flow: evaluate(state, flow, Post.KERNEL).layers) == []
        compared.flows = len(tried)
