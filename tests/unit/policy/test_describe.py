from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from tests.support.manifests import world

from tsujiban.policy.clauses import Clause, View
from tsujiban.policy.describe import wanted_and_got
from tsujiban.policy.flow import Flow, Post, Request
from tsujiban.policy.program import Action, Http, Icmp, PathMatch, PortRange, Ports, Rule, Side

POLICY = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: p}
spec:
  selector: app == 'a'
  ingress: [{action: Allow, protocol: TCP, source: {selector: app == 'b'}, destination: {ports: [web]}}]
"""
WHERE = world(POLICY)
(COMPILED,) = WHERE.graph.programs["_global/p"].ingress
PEERS, NAMED = COMPILED.src.sets, COMPILED.dst.ports
FLOW = Flow(source="10.0.0.3", destination="10.0.0.1", port=80, source_port=40000)
HTTP = Http(methods=("GET", "PUT"), paths=(PathMatch(exact="/a"), PathMatch(prefix="/b")))


def told(
    clause: Clause, flow: Flow = FLOW, peer: str | None = None, *, visible: bool = False, **clauses: object
) -> tuple[str, str]:
    rule = structs.replace(Rule(id="r", action=Action.ALLOW), **clauses)
    view = View(WHERE.world, flow, Post.KERNEL, peer, visible)
    return wanted_and_got(rule, clause, view, WHERE.graph)


def ports(*ranges: tuple[int, int]) -> Ports:
    return Ports(ranges=tuple(PortRange(first=first, last=last) for first, last in ranges))


@pytest.mark.parametrize(
    ("clause", "clauses", "wanted", "got"),
    [
        (Clause.IP_VERSION, {"ip_version": 6}, "IPv6", "10.0.0.3 to 10.0.0.1"),
        (Clause.PROTOCOL, {"protocols": (17, 47)}, "UDP or 47", "TCP"),
        (Clause.NOT_PROTOCOL, {"not_protocols": (6,)}, "not TCP", "TCP"),
        (Clause.ICMP, {"icmp": Icmp(type=8)}, "type 8", "TCP type None code None"),
        (Clause.NOT_ICMP, {"not_icmp": Icmp(type=3, code=1)}, "not type 3 code 1", "TCP type None code None"),
        (
            Clause.SOURCE_NETS,
            {"src": Side(nets=("10.1.0.0/16", "fd00::/8"))},
            "in 10.1.0.0/16 or fd00::/8",
            "10.0.0.3",
        ),
        (Clause.SOURCE_NETS, {"src": Side(nets=())}, "in no network", "10.0.0.3"),
        (Clause.DESTINATION_NOT_NETS, {"dst": Side(not_nets=("10.0.0.1",))}, "not in 10.0.0.1", "10.0.0.1"),
        (Clause.SOURCE_SELECTOR, {"src": Side(sets=PEERS)}, 'app == "b"', "y/c (10.0.0.3)"),
        (Clause.SOURCE_NOT_SELECTOR, {"src": Side(not_sets=PEERS)}, 'not app == "b"', "y/c (10.0.0.3)"),
        (
            Clause.SOURCE_SELECTOR,
            {"src": Side(sets=("gone",))},
            "set gone, which does not exist",
            "y/c (10.0.0.3)",
        ),
        (Clause.DESTINATION_PORTS, {"dst": Side(ports=ports((1, 2), (9, 9)))}, "port 1 to 2 or 9", "port 80"),
        (Clause.DESTINATION_PORTS, {"dst": Side(ports=NAMED)}, "port 'web'", "port 80"),
        (Clause.DESTINATION_NOT_PORTS, {"dst": Side(not_ports=ports((80, 80)))}, "not port 80", "port 80"),
        (Clause.SOURCE_PORTS, {"src": Side(ports=ports((1, 2)))}, "port 1 to 2", "port 40000"),
    ],
)
def test_what_a_clause_asked_for_and_got(
    clause: Clause, clauses: dict[str, Any], wanted: str, got: str
) -> None:
    assert told(clause, **clauses) == (wanted, got)


@pytest.mark.parametrize(
    ("peer", "got"),
    [
        (None, "y/c (10.0.0.3)"),
        ("", "y/c (10.0.0.3) without an identity"),
        ("spiffe://d/ns/y/sa/z", "y/c (10.0.0.3) as spiffe://d/ns/y/sa/z"),
    ],
)
def test_as_whom_a_source_was_authenticated(peer: str | None, got: str) -> None:
    assert told(Clause.SOURCE_SELECTOR, peer=peer, src=Side(sets=PEERS))[1] == got


def test_an_address_that_nobody_knows() -> None:
    flow = structs.replace(FLOW, source="@x/new")
    got = told(Clause.SOURCE_NETS, flow, src=Side(nets=("10.0.0.0/8",)))[1]
    assert got == "x/new, whose address is not known"


@pytest.mark.parametrize(
    ("clause", "request_", "visible", "wanted", "got"),
    [
        (
            Clause.HTTP,
            None,
            True,
            "HTTP GET or PUT /a or /b or below",
            "not an HTTP request",
        ),
        (
            Clause.HTTP,
            Request(),
            False,
            "HTTP GET or PUT /a or /b or below",
            "no proxy of the destination sees this flow",
        ),
        (Clause.HTTP_METHODS, Request(method="DELETE"), True, "method GET or PUT", "DELETE"),
        (Clause.HTTP_PATHS, Request(path="/c"), True, "path /a or /b or below", "/c"),
        (Clause.HTTP_PATHS, Request(path="/a/../c"), True, "path /a or /b or below", "/a/../c, which is /c"),
        (
            Clause.HTTP_PATHS,
            Request(path="/a%2fc"),
            True,
            "path /a or /b or below",
            "/a%2fc, which is ambiguous",
        ),
    ],
)
def test_http(clause: Clause, request_: Request | None, visible: bool, wanted: str, got: str) -> None:
    flow = structs.replace(FLOW, http=request_)
    assert told(clause, flow, visible=visible, http=HTTP) == (wanted, got)


@pytest.mark.parametrize("clause", list(Clause))
def test_every_clause_has_words(clause: Clause) -> None:
    """Also a rule without the clause: explain must not fail on one."""
    wanted, got = told(clause, ip_version=4, icmp=Icmp(), not_icmp=Icmp(type=8), http=HTTP)
    assert got
    assert isinstance(wanted, str)
