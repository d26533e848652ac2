"""No flow is denied by a change that is said to endanger nobody: every small world is tried."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations, product

import pytest

from tsujiban.agent.merge import endangered
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Post
from tsujiban.policy.program import (
    Action,
    Direction,
    EndpointProgram,
    Member,
    NodeDelta,
    NodeState,
    PolicyProgram,
    Ports,
    Rule,
    ServiceMember,
    SetChange,
    Side,
    Tier,
)
from tsujiban.policy.world import World

HERE, ADDRESS = "x/a", "10.0.0.1"
ADDRESSES = (ADDRESS, "10.0.0.2")
SUBSETS = [*chain.from_iterable(combinations(ADDRESSES, size) for size in range(3))]
SIDES = [
    Side(sets=("s",)),
    Side(not_sets=("s",)),
    Side(services=("t",)),
    Side(ports=Ports(named=("t",))),
    Side(not_ports=Ports(named=("t",))),
    Side(sets=("s",), not_ports=Ports(named=("t",))),
]
OPEN = Rule(id="open", action=Action.ALLOW)


def rules(action: Action) -> Iterator[tuple[Rule, ...]]:
    for side, rest in product(SIDES, [(), (OPEN,)]):
        yield Rule(id="r", action=action, src=side), *rest
        yield Rule(id="r", action=action, dst=side), *rest


def state(policy: PolicyProgram, after: PolicyProgram) -> NodeState:
    tier = Tier(name="t", default_action=Action.DENY, default_id="t", policies=(policy.id,))
    endpoint = EndpointProgram(
        id=HERE, node="n", addresses=(ADDRESS,), ingress=(tier,), egress=(tier,), profiles=(after.id,)
    )
    sets = {"s": SetChange(full=True), "t": SetChange(full=True, service=True)}
    made = NodeState()
    programs: dict[str, PolicyProgram | None] = {policy.id: policy, after.id: after}
    made.apply(
        NodeDelta(revision=1, full=True, endpoints={HERE: endpoint}, policies=programs, sets=dict(sets))
    )
    return made


def allowed(made: NodeState) -> set[tuple[str, str]]:
    world = World(made)
    pairs = [ADDRESSES, ADDRESSES[::-1]]
    flows = [Flow(source=one, destination=other, protocol=6, port=80) for one, other in pairs]
    return {
        pair
        for pair, flow in zip(pairs, flows, strict=True)
        if evaluate(world, flow, Post.KERNEL).verdict is Action.ALLOW
    }


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("action", Action)
def test_whoever_loses_a_connection_was_named(action: Action, direction: Direction) -> None:
    lost = spared = 0
    for listed, staged, profile in product(rules(action), (False, True), ((OPEN,), ())):
        policy = PolicyProgram(id="p", staged=staged, **{str(direction): listed})  # type: ignore[arg-type]  # by name
        made = state(policy, PolicyProgram(id="_profile/x", ingress=profile, egress=profile))
        for before, after in product(SUBSETS, SUBSETS):
            for of in (before, after):
                was = allowed(made)
                deltas = [delta(made, of)]
                made.apply(deltas[0])
                named = endangered(made, deltas)
                if was - allowed(made):
                    lost += 1
                    assert named == {HERE}
                spared += named == set()
    assert spared, "somebody must be spared, or nothing is gained"
    assert bool(lost) is (action is not Action.LOG)


def delta(made: NodeState, of: tuple[str, ...]) -> NodeDelta:
    """The smallest one after which exactly these addresses are members of both sets."""
    addresses = frozenset(Member(net=address) for address in of)
    triples = frozenset(ServiceMember(address=address, protocol=6, port=80) for address in of)
    had, had_triples = made.sets["s"].members, made.service_sets["t"].members
    services = SetChange(
        added_services=frozenset(triples - had_triples),
        removed_services=frozenset(had_triples - triples),
        service=True,
    )
    plain = SetChange(added=frozenset(addresses - had), removed=frozenset(had - addresses))
    return NodeDelta(revision=made.revision + 1, sets={"s": plain, "t": services})
