from __future__ import annotations

import msgspec
import pytest

from tsujiban.policy.program import (
    Action,
    AddressSet,
    AuthzAction,
    AuthzProgram,
    EndpointProgram,
    Member,
    NodeDelta,
    NodeState,
    Peer,
    PolicyProgram,
    Rule,
    ServiceMember,
    ServiceProgram,
    ServiceSet,
    SetChange,
    Side,
)

ONE, TWO = Member(net="10.0.0.1"), Member(net="10.0.0.2", identity="spiffe://d/ns/x/sa/a")
TRIPLE, OTHER = (ServiceMember(address="10.0.0.1", protocol=6, port=port) for port in (80, 81))
FULL = NodeDelta(
    revision=3,
    full=True,
    endpoints={"x/a": EndpointProgram(id="x/a", node="n")},
    policies={"x/p": PolicyProgram(id="x/p")},
    authorizations={"x/z": AuthzProgram(id="x/z", action=AuthzAction.DENY)},
    sets={
        "s1": SetChange(full=True, added=frozenset({ONE})),
        "n1": SetChange(full=True, service=True, added_services=frozenset({TRIPLE})),
    },
    peers={"10.0.0.1": Peer(address="10.0.0.1", endpoint="x/a")},
    services={"x/web": ServiceProgram(id="x/web")},
)


def told(*deltas: NodeDelta) -> NodeState:
    state = NodeState()
    for delta in deltas:
        state.apply(delta)
    return state


def test_a_full_delta_is_the_state() -> None:
    state = told(FULL)
    assert state.revision == 3
    assert state.endpoints == FULL.endpoints
    assert state.policies == FULL.policies
    assert state.authorizations == FULL.authorizations
    assert state.sets == {"s1": AddressSet(id="s1", members=frozenset({ONE}))}
    assert state.service_sets == {"n1": ServiceSet(id="n1", members=frozenset({TRIPLE}))}
    assert state.peers == FULL.peers
    assert state.services == FULL.services


def test_a_full_delta_replaces_whatever_was_there() -> None:
    assert told(FULL, NodeDelta(revision=4, full=True)) == NodeState(revision=4)


def test_none_removes_from_every_table() -> None:
    nothing = NodeDelta(
        revision=4,
        endpoints={"x/a": None},
        policies={"x/p": None},
        authorizations={"x/z": None},
        sets={"s1": None, "n1": None},
        peers={"10.0.0.1": None},
        services={"x/web": None},
    )
    assert told(FULL, nothing) == NodeState(revision=4)
    assert told(nothing) == NodeState(revision=4)  # what is not there can be removed


def test_a_difference_leaves_the_rest_alone() -> None:
    state = told(
        FULL,
        NodeDelta(
            revision=4,
            policies={"x/q": PolicyProgram(id="x/q")},
            sets={
                "s1": SetChange(added=frozenset({TWO}), removed=frozenset({ONE})),
                "n1": SetChange(service=True, added_services=frozenset({OTHER})),
            },
        ),
    )
    assert set(state.policies) == {"x/p", "x/q"}
    assert state.sets["s1"].members == {TWO}
    assert state.service_sets["n1"].members == {TRIPLE, OTHER}
    assert state.endpoints == FULL.endpoints


def test_a_full_set_replaces_its_members_alone() -> None:
    state = told(FULL, NodeDelta(revision=4, sets={"s1": SetChange(full=True, added=frozenset({TWO}))}))
    assert state.sets["s1"].members == {TWO}
    assert set(state.service_sets) == {"n1"}


def test_a_difference_of_a_set_that_is_not_there_is_an_error() -> None:
    """Guessing that it was empty would leave members out without anybody knowing."""
    with pytest.raises(KeyError):
        told(NodeDelta(revision=1, sets={"s1": SetChange(added=frozenset({ONE}))}))


def test_what_is_sent_arrives() -> None:
    assert msgspec.json.decode(msgspec.json.encode(FULL), type=NodeDelta) == FULL
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(FULL), type=NodeDelta) == FULL


def test_no_networks_and_no_clause_are_told_apart_on_the_wire() -> None:
    """`()` matches nothing, None everything: losing the difference would open a rule."""
    closed = Rule(id="r", action=Action.ALLOW, src=Side(nets=()))
    told_rule = msgspec.json.decode(msgspec.json.encode(closed), type=Rule)
    assert told_rule.src.nets == ()
    assert told_rule != Rule(id="r", action=Action.ALLOW)


def test_what_is_enforced_by_default_is_closed() -> None:
    endpoint = EndpointProgram(id="x/a", node="n")
    assert endpoint.authentication.mode == "strict"
    assert endpoint.no_profile_id == "_profile/none"
    assert endpoint.no_allow_id == "_authz/no-allow"
