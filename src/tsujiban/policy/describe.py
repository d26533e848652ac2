"""Words for clauses: what a failed clause asked for, and what the flow had instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tsujiban.policy.addresses import UNKNOWN
from tsujiban.policy.clauses import Clause, View
from tsujiban.policy.program import Http, Icmp, Ports, Rule, Side
from tsujiban.resources import httppath, protocols

if TYPE_CHECKING:
    from tsujiban.policy.graph import PolicyGraph


def wanted_and_got(rule: Rule, clause: Clause, view: View, graph: PolicyGraph) -> tuple[str, str]:
    """What `clause` of `rule` asked for, and what the flow had."""
    flow = view.flow
    protocol = protocols.name(flow.protocol)
    match clause:
        case Clause.IP_VERSION:
            return f"IPv{rule.ip_version}", f"{flow.source} to {flow.destination}"
        case Clause.PROTOCOL:
            return _or(map(protocols.name, rule.protocols)), protocol
        case Clause.NOT_PROTOCOL:
            return "not " + _or(map(protocols.name, rule.not_protocols)), protocol
        case Clause.ICMP | Clause.NOT_ICMP:
            wanted = rule.icmp if clause is Clause.ICMP else rule.not_icmp
            text = _icmp(wanted) if wanted is not None else ""
            got = f"{protocol} type {flow.icmp_type} code {flow.icmp_code}"
            return (text if clause is Clause.ICMP else f"not {text}"), got
        case Clause.HTTP | Clause.HTTP_METHODS | Clause.HTTP_PATHS:
            return _http(rule.http or Http(), clause, view)
    source = str(clause).startswith("source")
    side, address = (rule.src, flow.source) if source else (rule.dst, flow.destination)
    port = flow.source_port if source else flow.port
    return _side(side, clause, view, graph, address, port, source)


def _side(
    side: Side, clause: Clause, view: View, graph: PolicyGraph, address: str, port: int | None, source: bool
) -> tuple[str, str]:
    kind = str(clause).partition(".")[2]
    match kind:
        case "nets":
            return f"in {_or(side.nets or ['no network'])}", _address(address)
        case "notNets":
            return f"not in {_or(side.not_nets)}", _address(address)
        case "selector" | "notSelector":
            names = side.sets if kind == "selector" else side.not_sets
            words = " and ".join(_set(name, graph) for name in names)
            return (words if kind == "selector" else f"not {words}"), _end(address, view, source)
        case "services":
            return " or ".join(
                _set(name, graph) for name in side.services
            ), f"{_address(address)} port {port}"
        case "ports":
            return f"port {_ports(side.ports, graph)}", f"port {port}"
    return f"not port {_ports(side.not_ports, graph)}", f"port {port}"


def _set(name: str, graph: PolicyGraph) -> str:
    definition = graph.definition(name)
    return str(definition) if definition is not None else f"set {name}, which does not exist"


def _end(address: str, view: View, source: bool) -> str:
    """Who an address is: the endpoint, and as whom it was authenticated when that mattered."""
    peer = view.world.peer(address)
    words = _address(address)
    if peer is not None:
        words = peer.endpoint if address.startswith(UNKNOWN) else f"{peer.endpoint} ({address})"
    if source and view.peer is not None:
        words += f" as {view.peer}" if view.peer else " without an identity"
    return words


def _address(address: str) -> str:
    if address.startswith(UNKNOWN):
        return f"{address[len(UNKNOWN) :]}, whose address is not known"
    return address


def _ports(ports: Ports | None, graph: PolicyGraph) -> str:
    if ports is None:
        return "any"
    ranges = [str(r.first) if r.first == r.last else f"{r.first} to {r.last}" for r in ports.ranges]
    named = []
    for name in ports.named:
        definition = graph.definition(name)
        named.append(repr(definition.name) if definition is not None else name)
    return _or([*ranges, *named])


def _icmp(icmp: Icmp) -> str:
    parts = [f"type {icmp.type}" if icmp.type is not None else "ICMP"]
    if icmp.code is not None:
        parts.append(f"code {icmp.code}")
    return " ".join(parts)


def _http(http: Http, clause: Clause, view: View) -> tuple[str, str]:
    request = view.flow.http
    if clause is Clause.HTTP or request is None:
        methods = _or(http.methods) or "any method"
        paths = _or(_paths(http)) or "any path"
        if not view.http_visible:
            return f"HTTP {methods} {paths}", "no proxy of the destination sees this flow"
        return f"HTTP {methods} {paths}", "not an HTTP request"
    if clause is Clause.HTTP_METHODS:
        return f"method {_or(http.methods)}", request.method
    normal = httppath.hardened(request.path)
    got = request.path if normal == request.path else f"{request.path}, which is {normal}"
    return f"path {_or(_paths(http))}", got if normal is not None else f"{request.path}, which is ambiguous"


def _paths(http: Http) -> list[str]:
    return [p.exact if p.exact is not None else f"{p.prefix} or below" for p in http.paths]


def _or(words: Iterable[str]) -> str:
    return " or ".join(words)
