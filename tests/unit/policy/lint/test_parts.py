from __future__ import annotations

import pytest

from tsujiban.policy.lint.parts import Lane, Places, lanes, limits_ports, mixes, requests
from tsujiban.policy.program import (
    Action,
    AddressSet,
    EndpointProgram,
    Http,
    Icmp,
    Member,
    NodeState,
    PathMatch,
    PortRange,
    Ports,
    Rule,
    Side,
)
from tsujiban.policy.world import World

EMPTY = World(NodeState())


def ports(*ranges: tuple[int, int]) -> Ports:
    return Ports(ranges=tuple(PortRange(first=first, last=last) for first, last in ranges))


def rule(**clauses: object) -> Rule:
    return Rule(id="r", action=Action.ALLOW, **clauses)  # type: ignore[arg-type]


def test_ports_are_cut_where_ranges_begin_and_end() -> None:
    found = lanes([rule(protocols=(6,), dst=Side(ports=ports((80, 90), (65535, 65535))))], EMPTY)
    assert [lane.port for lane in found if lane.protocol == 6] == [0, 80, 91, 65535]
    assert {lane.source_port for lane in found} == {None}


def test_source_ports_are_told_apart_when_a_rule_asks_for_them() -> None:
    found = lanes([rule(src=Side(ports=ports((53, 53))))], EMPTY)
    assert {lane.source_port for lane in found if lane.protocol == 17} == {None, 0, 53, 54}


def test_one_protocol_stands_for_all_that_nobody_names() -> None:
    found = {lane.protocol for lane in lanes([rule(protocols=(253, 47))], EMPTY)}
    assert found == {1, 6, 17, 47, 58, 132, 252, 253}


def test_icmp_types_have_a_neighbour_that_differs() -> None:
    found = lanes([rule(icmp=Icmp(type=8, code=0))], EMPTY)
    assert Lane(1, icmp_type=8, icmp_code=0) in found
    assert Lane(1, icmp_type=9, icmp_code=0) in found
    assert Lane(1, icmp_type=8, icmp_code=1) in found


def test_requests_hold_an_other_of_everything() -> None:
    found = requests([Http(methods=("GET",), paths=(PathMatch(prefix="/a"), PathMatch(exact="/a/b")))])
    asked = {(request.method, request.path) for request in found if request is not None}
    assert found[0] is None
    assert {method for method, _ in asked} == {"GET", "X"}
    assert {path for _, path in asked} == {"/", "/x", "/a", "/a/x", "/a/b", "/a/b/x", "/%2f"}


def test_requests_without_clauses_are_none() -> None:
    assert requests([]) == [None]


def test_a_fresh_word_is_in_no_clause() -> None:
    found = requests([Http(methods=("X",), paths=(PathMatch(prefix="/x"),))])
    assert {request.method for request in found if request is not None} == {"X", "XX"}


def places() -> Places:
    state = NodeState(
        endpoints={
            "x/a": EndpointProgram(id="x/a", node="n", addresses=("10.0.0.1",), identity="spiffe://d/a")
        },
        sets={
            "s": AddressSet(
                id="s",
                members=frozenset(
                    (Member(net="10.0.0.1", identity="spiffe://d/a"), Member(net="10.1.0.0/16"))
                ),
            )
        },
    )
    return Places(World(state))


def test_places_are_hosts_and_the_edges_of_networks() -> None:
    found = places()
    assert {place.address for place in found.kernel} == {"0.0.0.0", "10.0.0.1", "10.1.0.0", "10.2.0.0", "::"}  # noqa: S104
    at_home = {place.peer for place in found.proxy if place.address == "10.0.0.1"}
    assert at_home == {"", "spiffe://d/a"}


def test_a_set_counts_by_address_in_the_kernel_and_by_identity_at_the_proxy() -> None:
    found = places()
    bits = found.having(Side(sets=("s",)), None, "10.9.9.9", source=True, closing=False)
    inside = {place for index, place in enumerate(found.all) if bits >> index & 1}
    assert ("10.0.0.1", None) in inside
    assert ("10.0.0.1", "spiffe://d/a") in inside
    assert ("10.0.0.1", "") not in inside
    assert {("10.1.0.0", None), ("10.1.0.0", "")} <= inside
    assert ("10.2.0.0", None) not in inside


@pytest.mark.parametrize(
    ("clause", "limits"),
    [(None, False), (ports((1, 65535)), False), (ports((0, 65535)), False), (ports((2, 65535)), True)],
)
def test_whether_a_clause_limits_ports(clause: Ports | None, limits: bool) -> None:
    assert limits_ports(clause) is limits


def test_named_ports_and_services_mix_address_and_port() -> None:
    assert mixes(Side(services=("v",)))
    assert mixes(Side(not_ports=Ports(named=("n",))))
    assert not mixes(Side(ports=ports((1, 2)), sets=("s",)))
