"""What a delta concerns: no endpoint is left out, and not all are taken when few will do."""

from __future__ import annotations

from tsujiban.agent import merge
from tsujiban.policy.program import (
    Action,
    EndpointProgram,
    Member,
    NodeDelta,
    NodeState,
    Peer,
    PolicyProgram,
    Ports,
    Rule,
    SetChange,
    Side,
    Tier,
)

ANY = Side()


def endpoint(name: str, *policies: str, profiles: tuple[str, ...] = ()) -> EndpointProgram:
    tier = Tier(name="default", default_action=Action.DENY, default_id="d", policies=policies)
    return EndpointProgram(id=name, node="n", ingress=(tier,), profiles=profiles)


def policy(name: str, src: Side = ANY, dst: Side = ANY) -> PolicyProgram:
    rule = Rule(id=f"{name}/ingress/0", action=Action.ALLOW, src=src, dst=dst)
    return PolicyProgram(id=name, ingress=(rule,))


FULL = NodeDelta(
    revision=1,
    full=True,
    endpoints={"a": endpoint("a", "p"), "b": endpoint("b", "q"), "c": endpoint("c", profiles=("r",))},
    policies={
        "p": policy("p", src=Side(sets=("s1",))),
        "q": policy("q", dst=Side(not_ports=Ports(named=("s2",)))),
        "r": policy("r"),
    },
    sets={"s1": SetChange(full=True), "s2": SetChange(full=True, service=True)},
)


def concerned(delta: NodeDelta) -> set[str] | None:
    state = NodeState()
    state.apply(FULL)
    state.apply(delta)
    return merge.touched(state, [delta])


def test_a_full_state_concerns_everyone() -> None:
    assert concerned(FULL) is None


def test_peers_and_services_concern_everyone() -> None:
    assert (
        concerned(NodeDelta(revision=2, peers={"10.0.0.1": Peer(address="10.0.0.1", endpoint="x")})) is None
    )
    assert concerned(NodeDelta(revision=2, services={"x": None})) is None


def test_a_policy_concerns_whom_it_selects() -> None:
    assert concerned(NodeDelta(revision=2, policies={"p": policy("p")})) == {"a"}
    assert concerned(NodeDelta(revision=2, policies={"r": policy("r")})) == {"c"}


def test_a_set_concerns_whose_policies_name_it() -> None:
    change = SetChange(added=frozenset({Member(net="10.0.0.9")}))
    assert concerned(NodeDelta(revision=2, sets={"s1": change})) == {"a"}
    assert concerned(NodeDelta(revision=2, sets={"s2": SetChange(service=True)})) == {"b"}


def test_an_endpoint_concerns_itself() -> None:
    assert concerned(NodeDelta(revision=2, endpoints={"b": None})) == {"b"}
