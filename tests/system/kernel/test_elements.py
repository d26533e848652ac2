"""Sets that change member by member, over raw netlink: the kernel holds what a fresh start would hold."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.kernelbed import Bed

from tsujiban.kernel.apply import KernelPost
from tsujiban.policy.program import (
    Action,
    AddressSet,
    Member,
    NodeState,
    PolicyProgram,
    Rule,
    ServiceMember,
    ServiceSet,
    Side,
    Tier,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

hosts = st.integers(0, 9).map(lambda n: f"10.0.0.{n}") | st.integers(0, 9).map(lambda n: f"fd00::{n}")
ranges = st.tuples(
    st.sampled_from(("0.0.0.", "10.0.0.", "255.255.255.")), st.integers(0, 255), st.integers(24, 32)
)
networks = ranges.map(lambda part: f"{part[0]}{part[1]}/{part[2]}") | st.sampled_from(
    ("::/0", "0.0.0.0/0", "fd00::/120")
)


def members(nets: frozenset[str]) -> frozenset[Member]:
    return frozenset(Member(net=net) for net in nets)


def state(bed: Bed, hosts: frozenset[str], mixed: frozenset[str], ports: frozenset[int]) -> NodeState:
    rules = (
        Rule(id="p/ingress/0", action=Action.ALLOW, src=Side(sets=("hosts",))),
        Rule(id="p/ingress/1", action=Action.ALLOW, src=Side(sets=("mixed",))),
        Rule(id="p/ingress/2", action=Action.ALLOW, protocols=(6,), dst=Side(services=("ports",))),
    )
    made = NodeState(policies={"p": PolicyProgram(id="p", ingress=rules)})
    made.sets["hosts"] = AddressSet(id="hosts", members=members(hosts))
    made.sets["mixed"] = AddressSet(id="mixed", members=members(mixed | {"192.0.2.0/24"}))
    triples = (ServiceMember(address="10.0.0.1", protocol=6, port=port) for port in ports)
    made.service_sets["ports"] = ServiceSet(id="ports", members=frozenset(triples))
    tier = Tier(name="t", default_action=Action.DENY, default_id="_tier/t", policies=("p",))
    program = bed.pods["a"].program(ingress=(tier,))
    made.endpoints[program.id] = program
    return made


@given(
    st.lists(
        st.tuples(
            st.frozensets(hosts, max_size=5),
            st.frozensets(hosts | networks, max_size=6),
            st.frozensets(st.integers(1, 5), max_size=3),
        ),
        min_size=2,
        max_size=6,
    )
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_history_of_members_is_what_the_kernel_holds(
    bed: Bed, post: KernelPost, history: list[tuple[frozenset[str], frozenset[str], frozenset[int]]]
) -> None:
    for revision, (first, second, ports) in enumerate(history):
        applied = post.sync(state(bed, first, second, ports), revision)
        assert post.verify(thorough=True) == ()
        assert not (applied.rebuilt and revision)


@pytest.mark.parametrize("interval", [False, True])
def test_one_member_more_is_one_command_in_many(bed: Bed, post: KernelPost, interval: bool) -> None:
    every = [str(IPv4Address(0x0B000000 + 2 * n)) for n in range(20_000)]
    held = frozenset(every) | (frozenset({"11.128.0.0/16"}) if interval else frozenset())
    world = state(bed, frozenset() if interval else held, held if interval else frozenset(), frozenset())
    post.sync(world, 1)
    assert post.verify(thorough=True) == ()
    changed = "mixed" if interval else "hosts"
    old = world.sets[changed].members
    world.sets[changed] = AddressSet(
        id=changed, members=(old - members(frozenset({every[7]}))) | members(frozenset({"12.0.0.1"}))
    )
    applied = post.sync(world, 2)
    assert (applied.commands, applied.rebuilt) == (2, False)
    assert post.verify() == ()  # nothing is read for a change of our own
    assert post.verify(thorough=True) == ()


def test_what_somebody_else_took_away_does_not_stop_a_change(bed: Bed, post: KernelPost) -> None:
    post.sync(state(bed, frozenset({"10.0.0.1", "10.0.0.2"}), frozenset(), frozenset()), 1)
    assert post.rendered is not None
    name = next(name for name in post.rendered.table.sets if name.startswith("hosts4"))
    command = ["ip", "netns", "exec", bed.node, "nft", f"delete element inet tsujiban {name} {{ 10.0.0.1 }}"]
    subprocess.run(command, check=True)
    post.sync(state(bed, frozenset({"10.0.0.2"}), frozenset(), frozenset()), 2)
    assert post.verify(thorough=True) == ()
