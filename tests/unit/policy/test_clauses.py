"""One clause at a time, on a state made by hand: no dialect, no graph."""

from __future__ import annotations

import pytest
from msgspec import structs

from tsujiban.policy.clauses import Clause, View, first_failure, http_failure, in_address_set
from tsujiban.policy.flow import Flow, Post, Request
from tsujiban.policy.program import (
    Action,
    AddressSet,
    Http,
    Icmp,
    Member,
    NodeState,
    PathMatch,
    PortRange,
    Ports,
    Rule,
    ServiceMember,
    ServiceSet,
    Side,
)
from tsujiban.policy.world import World

B = "spiffe://cluster.local/ns/x/sa/b"
WORLD = World(
    NodeState(
        sets={
            "s-b": AddressSet(id="s-b", members=frozenset({Member(net="10.0.0.2", identity=B)})),
            "s-net": AddressSet(id="s-net", members=frozenset({Member(net="10.0.0.0/24")})),
            "s-empty": AddressSet(id="s-empty"),
        },
        service_sets={
            "n-web": ServiceSet(
                id="n-web", members=frozenset({ServiceMember(address="10.0.0.1", protocol=6, port=80)})
            )
        },
    )
)
FLOW = Flow(source="10.0.0.2", destination="10.0.0.1", port=80, source_port=40000)
ICMP = Flow(source="10.0.0.2", destination="10.0.0.1", protocol=1, icmp_type=8, icmp_code=0)
SIX = Flow(source="fd00::2", destination="fd00::1", port=80)


def ports(first: int, last: int, *named: str) -> Ports:
    return Ports(ranges=(PortRange(first=first, last=last),), named=named)


def failure(
    rule: Rule, flow: Flow = FLOW, peer: str | None = None, *, visible: bool = False
) -> Clause | None:
    post = Post.KERNEL if peer is None else Post.PROXY
    return first_failure(rule, View(WORLD, flow, post, peer, visible))


def allow(**clauses: object) -> Rule:
    return structs.replace(Rule(id="r", action=Action.ALLOW), **clauses)


@pytest.mark.parametrize(
    ("rule", "flow", "failed"),
    [
        (allow(), FLOW, None),
        (allow(ip_version=4), FLOW, None),
        (allow(ip_version=6), FLOW, Clause.IP_VERSION),
        (allow(ip_version=6), SIX, None),
        (allow(protocols=(6, 17)), FLOW, None),
        (allow(protocols=(17,)), FLOW, Clause.PROTOCOL),
        (allow(not_protocols=(17,)), FLOW, None),
        (allow(not_protocols=(6,)), FLOW, Clause.NOT_PROTOCOL),
        (allow(icmp=Icmp(type=8)), ICMP, None),
        (allow(icmp=Icmp(type=8, code=1)), ICMP, Clause.ICMP),
        (allow(icmp=Icmp(type=0)), ICMP, Clause.ICMP),
        (allow(icmp=Icmp()), FLOW, Clause.ICMP),  # TCP is no ICMP, whatever the type
        (allow(not_icmp=Icmp(type=8)), ICMP, Clause.NOT_ICMP),
        (allow(not_icmp=Icmp(type=0)), ICMP, None),
        (allow(not_icmp=Icmp(type=8)), FLOW, None),
        (allow(src=Side(nets=("10.0.0.0/24", "fd00::/64"))), FLOW, None),
        (allow(src=Side(nets=("10.1.0.0/24",))), FLOW, Clause.SOURCE_NETS),
        (allow(src=Side(nets=())), FLOW, Clause.SOURCE_NETS),  # no network is not any network
        (allow(src=Side(not_nets=("10.0.0.2",))), FLOW, Clause.SOURCE_NOT_NETS),
        (allow(src=Side(not_nets=("10.0.0.3",))), FLOW, None),
        (allow(dst=Side(nets=("10.0.0.2",))), FLOW, Clause.DESTINATION_NETS),
        (allow(dst=Side(not_nets=("0.0.0.0/0",))), FLOW, Clause.DESTINATION_NOT_NETS),
        (allow(dst=Side(not_nets=("0.0.0.0/0",))), SIX, None),
        (allow(src=Side(sets=("s-b", "s-net"))), FLOW, None),
        (allow(src=Side(sets=("s-b", "s-empty"))), FLOW, Clause.SOURCE_SELECTOR),  # every one of them
        (allow(src=Side(not_sets=("s-empty", "s-net"))), FLOW, Clause.SOURCE_NOT_SELECTOR),
        (allow(src=Side(not_sets=("s-empty",))), FLOW, None),
        (allow(dst=Side(sets=("s-b",))), FLOW, Clause.DESTINATION_SELECTOR),
        (allow(dst=Side(not_sets=("s-net",))), FLOW, Clause.DESTINATION_NOT_SELECTOR),
        (allow(dst=Side(services=("n-web",))), FLOW, None),
        (allow(src=Side(services=("n-web",))), FLOW, Clause.SOURCE_SERVICES),
        (allow(dst=Side(ports=ports(80, 80))), FLOW, None),
        (allow(dst=Side(ports=ports(81, 90))), FLOW, Clause.DESTINATION_PORTS),
        (allow(dst=Side(ports=ports(81, 90, "n-web"))), FLOW, None),  # any of ranges and names
        (allow(dst=Side(ports=Ports())), FLOW, Clause.DESTINATION_PORTS),
        (allow(dst=Side(not_ports=ports(70, 90))), FLOW, Clause.DESTINATION_NOT_PORTS),
        (allow(dst=Side(not_ports=ports(81, 90))), FLOW, None),
        (allow(dst=Side(not_ports=Ports(named=("n-web",)))), FLOW, Clause.DESTINATION_NOT_PORTS),
        (allow(src=Side(ports=ports(40000, 40000))), FLOW, None),
        (allow(src=Side(ports=ports(80, 80))), FLOW, Clause.SOURCE_PORTS),
        (allow(src=Side(not_ports=ports(1, 65535))), FLOW, Clause.SOURCE_NOT_PORTS),
        (allow(dst=Side(ports=ports(0, 65535))), ICMP, Clause.DESTINATION_PORTS),  # ICMP has no ports
        (allow(dst=Side(not_ports=ports(0, 65535))), ICMP, None),
    ],
)
def test_the_first_clause_that_fails(rule: Rule, flow: Flow, failed: Clause | None) -> None:
    assert failure(rule, flow) is failed


def test_a_source_port_that_is_not_known_is_in_no_range() -> None:
    unknown = Flow(source="10.0.0.2", destination="10.0.0.1", port=80)
    assert failure(allow(src=Side(ports=ports(0, 65535))), unknown) is Clause.SOURCE_PORTS
    assert failure(allow(src=Side(not_ports=ports(0, 65535))), unknown) is None


@pytest.mark.parametrize(
    ("side", "clause"),
    [
        (Side(sets=("gone",)), Clause.DESTINATION_SELECTOR),
        (Side(not_sets=("gone",)), Clause.DESTINATION_NOT_SELECTOR),
        (Side(services=("gone",)), Clause.DESTINATION_SERVICES),
        (Side(ports=Ports(named=("gone",))), Clause.DESTINATION_PORTS),
        (Side(not_ports=Ports(named=("gone",))), Clause.DESTINATION_NOT_PORTS),
    ],
)
def test_a_missing_set_opens_nothing_and_closes(side: Side, clause: Clause) -> None:
    for action in (Action.ALLOW, Action.PASS):
        assert failure(Rule(id="r", action=action, dst=side)) is clause
    assert failure(Rule(id="r", action=Action.DENY, dst=side)) is None


@pytest.mark.parametrize(
    ("address", "peer", "inside"),
    [
        ("10.0.0.2", None, True),  # the kernel looks at the address alone
        ("10.0.0.2", B, True),
        ("10.0.0.2", "", False),  # a member with an identity must prove it
        ("10.0.0.2", "spiffe://cluster.local/ns/x/sa/c", False),
        ("10.0.0.3", B, False),  # and have the address
    ],
)
def test_address_and_identity_of_a_member(address: str, peer: str | None, inside: bool) -> None:
    assert in_address_set(WORLD, "s-b", address, peer) is inside


@pytest.mark.parametrize("peer", [None, "", B])
def test_a_plain_member_asks_for_no_identity(peer: str | None) -> None:
    assert in_address_set(WORLD, "s-net", "10.0.0.9", peer) is True


def test_membership_of_a_set_that_is_missing_is_not_known() -> None:
    assert in_address_set(WORLD, "gone", "10.0.0.2", None) is None


GET = Http(methods=("GET",), paths=(PathMatch(exact="/a"), PathMatch(prefix="/b")))


@pytest.mark.parametrize(
    ("http", "request_", "failed"),
    [
        (Http(), Request(method="BREW", path="/x"), None),
        (GET, Request(method="GET", path="/a"), None),
        (GET, Request(method="GET", path="/a/b"), Clause.HTTP_PATHS),
        (GET, Request(method="GET", path="/b"), None),
        (GET, Request(method="GET", path="/b/c"), None),
        (GET, Request(method="GET", path="/bc"), Clause.HTTP_PATHS),  # whole segments
        (GET, Request(method="GET", path="/x/../a"), None),
        (GET, Request(method="GET", path="/b/../c"), Clause.HTTP_PATHS),
        (GET, Request(method="GET", path="/b%2fc"), Clause.HTTP_PATHS),  # can be read in two ways
        (GET, Request(method="GET", path="/a?q=1"), None),
        (GET, Request(method="PUT", path="/a"), Clause.HTTP_METHODS),
    ],
)
def test_http_clauses(http: Http, request_: Request, failed: Clause | None) -> None:
    assert http_failure(http, request_) is failed


@pytest.mark.parametrize(
    ("action", "peer", "visible", "request_", "failed"),
    [
        (Action.ALLOW, None, False, Request(path="/a"), Clause.HTTP),  # no proxy will look
        (Action.ALLOW, None, True, None, None),  # the kernel's part: layer 4
        (Action.DENY, None, True, Request(path="/x"), Clause.HTTP_PATHS),
        (Action.ALLOW, B, True, None, Clause.HTTP),  # not HTTP
        (Action.ALLOW, B, True, Request(path="/a"), None),
        (Action.ALLOW, B, True, Request(path="/x"), Clause.HTTP_PATHS),
    ],
)
def test_where_http_is_seen(
    action: Action, peer: str | None, visible: bool, request_: Request | None, failed: Clause | None
) -> None:
    flow = Flow(source="10.0.0.2", destination="10.0.0.1", port=80, http=request_)
    assert failure(Rule(id="r", action=action, http=GET), flow, peer, visible=visible) is failed
