from __future__ import annotations

import pytest

from tsujiban.policy.program import (
    AddressSet,
    EndpointProgram,
    Member,
    Mesh,
    NodeState,
    Peer,
    ServiceMember,
    ServiceSet,
)
from tsujiban.policy.world import SetIndex, World

A = "spiffe://cluster.local/ns/x/sa/a"


def state() -> NodeState:
    return NodeState(
        endpoints={
            "x/a": EndpointProgram(
                id="x/a", node="n", addresses=("10.0.0.1", "fd00::1"), identity=A, mesh=Mesh.SIDECAR
            )
        },
        peers={
            "10.0.0.2": Peer(address="10.0.0.2", endpoint="x/b", identity=A, mesh=Mesh.SIDECAR),
            "10.0.0.3": Peer(address="10.0.0.3", endpoint="x/c", identity=A, mesh=Mesh.NONE),
        },
        sets={"s1": AddressSet(id="s1", members=frozenset({Member(net="10.0.0.1", identity=A)}))},
        service_sets={
            "n1": ServiceSet(
                id="n1", members=frozenset({ServiceMember(address="fd00:0::1", protocol=6, port=80)})
            )
        },
    )


@pytest.mark.parametrize(
    ("address", "identities"),
    [
        ("10.0.0.1", {A, ""}),  # of the host and of the network around it
        ("10.0.0.9", {""}),
        ("10.0.1.1", set()),
        ("fd00::1", {A}),
        ("@x/new", {A}),
    ],
)
def test_whose_an_address_of_a_set_is(address: str, identities: set[str]) -> None:
    index = SetIndex([("10.0.0.1/32", A), ("10.0.0.0/24", ""), ("FD00::1", A), ("@x/new", A)])
    assert index.identities(address) == identities


def test_two_identities_of_one_address_both_count() -> None:
    assert SetIndex([("10.0.0.1", "one"), ("10.0.0.1", "two")]).identities("10.0.0.1") == {"one", "two"}


def test_an_endpoint_is_found_by_each_of_its_addresses() -> None:
    world = World(state())
    found = world.endpoint("fd00::1")
    assert found is not None
    assert found is world.endpoint("10.0.0.1")
    assert world.endpoint("10.0.0.2") is None


def test_an_endpoint_stands_for_a_peer_that_nobody_sent() -> None:
    assert World(state()).peer("10.0.0.1") == Peer(
        address="10.0.0.1", endpoint="x/a", identity=A, mesh=Mesh.SIDECAR, node="n"
    )


@pytest.mark.parametrize(
    ("address", "identity"),
    [
        ("10.0.0.1", A),
        ("10.0.0.2", A),
        ("10.0.0.3", ""),  # outside the mesh nothing is proven
        ("192.0.2.1", ""),
    ],
)
def test_the_identity_that_an_address_presents(address: str, identity: str) -> None:
    assert World(state()).identity(address) == identity


def test_a_set_that_is_missing_is_not_an_empty_one() -> None:
    world = World(state())
    world.state.sets["empty"] = AddressSet(id="empty")
    world.state.service_sets["none"] = ServiceSet(id="none")
    assert world.address_set("s2") is None
    assert world.address_set("empty") is not None
    assert world.service_set("n2") is None
    assert world.service_set("none") == frozenset()


def test_triples_are_asked_in_shortest_form() -> None:
    assert World(state()).service_set("n1") == frozenset({("fd00::1", 6, 80)})
