"""What a delta concerns: no endpoint is left out, and not all are taken when few will do."""

from __future__ import annotations

import msgspec
import pytest

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


S1 = Side(sets=("s1",))
NOT_S1 = Side(not_sets=("s1",))
COMES = NodeDelta(revision=2, sets={"s1": SetChange(added=frozenset({Member(net="10.0.0.9")}))})
GOES = NodeDelta(revision=2, sets={"s1": SetChange(removed=frozenset({Member(net="10.0.0.9")}))})
ANEW = NodeDelta(revision=2, sets={"s1": SetChange(full=True)})


def judged(delta: NodeDelta, changed: PolicyProgram | None = None, host: bool = False) -> set[str] | None:
    state = NodeState()
    state.apply(FULL)
    state.policies["p"] = changed or state.policies["p"]
    state.endpoints["a"] = msgspec.structs.replace(state.endpoints["a"], host=host)
    state.apply(delta)
    return merge.endangered(state, [delta])


@pytest.mark.parametrize(
    ("action", "src", "coming", "going"),
    [
        (Action.ALLOW, S1, False, True),
        (Action.ALLOW, NOT_S1, True, False),
        (Action.DENY, S1, True, False),
        (Action.DENY, NOT_S1, False, True),
        (Action.PASS, S1, True, True),
        (Action.PASS, NOT_S1, True, True),
        (Action.LOG, S1, False, False),
        (Action.ALLOW, Side(sets=("s1",), not_sets=("s1",)), True, True),
        (Action.ALLOW, Side(not_ports=Ports(named=("s1",))), True, False),
        (Action.ALLOW, Side(ports=Ports(named=("s1",))), False, True),
        (Action.ALLOW, Side(services=("s1",)), False, True),
        (Action.ALLOW, ANY, False, False),
    ],
)
def test_members_endanger_by_what_they_do(action: Action, src: Side, coming: bool, going: bool) -> None:
    rule = Rule(id="p/ingress/0", action=action, src=src)
    for changed in (PolicyProgram(id="p", ingress=(rule,)), PolicyProgram(id="p", egress=(rule,))):
        assert judged(COMES, changed) == ({"a"} if coming else set())
        assert judged(GOES, changed) == ({"a"} if going else set())
        assert judged(ANEW, changed) == ({"a"} if coming or going else set())
        assert judged(COMES, msgspec.structs.replace(changed, staged=True)) == set()


def test_a_host_endpoint_is_endangered_by_any_member() -> None:
    assert judged(COMES) == set()
    assert judged(COMES, host=True) == {"a"}


def test_peers_services_and_authorizations_endanger_nothing_in_the_kernel() -> None:
    other = Peer(address="10.0.0.1", endpoint="x")
    delta = NodeDelta(revision=2, peers={"10.0.0.1": other}, services={"x": None}, authorizations={"z": None})
    assert judged(delta) == set()


def test_programs_and_full_states_are_judged_again() -> None:
    assert judged(FULL) is None
    assert judged(NodeDelta(revision=2, policies={"p": policy("p")})) == {"a"}
    assert judged(NodeDelta(revision=2, endpoints={"b": endpoint("b", "q")})) == {"b"}
