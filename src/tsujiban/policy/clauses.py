"""Whether one network policy rule matches one flow, clause by clause.

The evaluator asks for the first clause that fails and goes on; `explain` shows the same answer
to a person. There is no second implementation of matching for explaining, so the explanation
cannot differ from the decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from tsujiban.policy.addresses import canonical, contains, version
from tsujiban.policy.flow import Flow, Post, Request
from tsujiban.policy.program import Action, Http, Icmp, Ports, Rule, Side
from tsujiban.policy.world import World
from tsujiban.resources import httppath
from tsujiban.resources.protocols import ICMP, ICMPV6


class Clause(StrEnum):
    """The clauses of a rule, in the order in which they are looked at."""

    IP_VERSION = "ipVersion"
    PROTOCOL = "protocol"
    NOT_PROTOCOL = "notProtocol"
    ICMP = "icmp"
    NOT_ICMP = "notICMP"
    SOURCE_NETS = "source.nets"
    SOURCE_NOT_NETS = "source.notNets"
    SOURCE_SELECTOR = "source.selector"
    SOURCE_NOT_SELECTOR = "source.notSelector"
    SOURCE_SERVICES = "source.services"
    SOURCE_PORTS = "source.ports"
    SOURCE_NOT_PORTS = "source.notPorts"
    DESTINATION_NETS = "destination.nets"
    DESTINATION_NOT_NETS = "destination.notNets"
    DESTINATION_SELECTOR = "destination.selector"
    DESTINATION_NOT_SELECTOR = "destination.notSelector"
    DESTINATION_SERVICES = "destination.services"
    DESTINATION_PORTS = "destination.ports"
    DESTINATION_NOT_PORTS = "destination.notPorts"
    HTTP = "http"
    HTTP_METHODS = "http.methods"
    HTTP_PATHS = "http.paths"


_SOURCE = (
    Clause.SOURCE_NETS,
    Clause.SOURCE_NOT_NETS,
    Clause.SOURCE_SELECTOR,
    Clause.SOURCE_NOT_SELECTOR,
    Clause.SOURCE_SERVICES,
    Clause.SOURCE_PORTS,
    Clause.SOURCE_NOT_PORTS,
)
_DESTINATION = (
    Clause.DESTINATION_NETS,
    Clause.DESTINATION_NOT_NETS,
    Clause.DESTINATION_SELECTOR,
    Clause.DESTINATION_NOT_SELECTOR,
    Clause.DESTINATION_SERVICES,
    Clause.DESTINATION_PORTS,
    Clause.DESTINATION_NOT_PORTS,
)


class View:
    """How one post sees one flow at one endpoint.

    `peer` is the authenticated identity of the source, None when this post looks at addresses
    alone. `http_visible` says whether a proxy stands behind this layer that will judge HTTP.
    """

    __slots__ = ("flow", "http_visible", "peer", "post", "world")

    def __init__(self, world: World, flow: Flow, post: Post, peer: str | None, http_visible: bool) -> None:
        self.world = world
        self.flow = flow
        self.post = post
        self.peer = peer
        self.http_visible = http_visible


def first_failure(rule: Rule, view: View) -> Clause | None:
    """The first clause of `rule` that `view` does not satisfy; None when the rule matches.

    What cannot be decided (a set that is not there) fails a rule that would open and satisfies a
    rule that denies.
    """
    flow = view.flow
    if rule.ip_version is not None and not _version_is(rule.ip_version, flow):
        return Clause.IP_VERSION
    if rule.protocols and flow.protocol not in rule.protocols:
        return Clause.PROTOCOL
    if rule.not_protocols and flow.protocol in rule.not_protocols:
        return Clause.NOT_PROTOCOL
    if rule.icmp is not None and not _icmp(rule.icmp, flow):
        return Clause.ICMP
    if rule.not_icmp is not None and _icmp(rule.not_icmp, flow):
        return Clause.NOT_ICMP
    closing = rule.action is Action.DENY
    found = _side(rule.src, flow.source, flow.source_port, view, view.peer, closing, _SOURCE)
    if found is None:
        found = _side(rule.dst, flow.destination, flow.port, view, None, closing, _DESTINATION)
    if found is None and rule.http is not None:
        found = _http(rule.http, rule.action, view)
    return found


def in_address_set(world: World, name: str, address: str, peer: str | None) -> bool | None:
    """Whether an end is in a set: by its address and, for a member that has an identity and a
    peer that was authenticated, by that too. None when there is no such set."""
    index = world.address_set(name)
    if index is None:
        return None
    identities = index.identities(canonical(address))
    if peer is None:
        return bool(identities)
    return "" in identities or (bool(peer) and peer in identities)


def _version_is(wanted: int, flow: Flow) -> bool:
    return version(flow.destination) == wanted or version(flow.source) == wanted


def _icmp(icmp: Icmp, flow: Flow) -> bool:
    if flow.protocol not in (ICMP, ICMPV6):
        return False
    return icmp.type in (None, flow.icmp_type) and icmp.code in (None, flow.icmp_code)


def _side(
    side: Side,
    address: str,
    port: int | None,
    view: View,
    peer: str | None,
    closing: bool,
    names: tuple[Clause, ...],
) -> Clause | None:
    nets, not_nets, sets, not_sets, services, ports, not_ports = names
    world, protocol = view.world, view.flow.protocol
    if side.nets is not None and not any(contains(net, address) for net in side.nets):
        return nets
    if side.not_nets and any(contains(net, address) for net in side.not_nets):
        return not_nets
    for name in side.sets:
        if not _known(in_address_set(world, name, address, peer), closing):
            return sets
    for name in side.not_sets:
        if _known(in_address_set(world, name, address, peer), not closing):
            return not_sets
    if side.services and not _in_services(world, side.services, address, protocol, port, closing):
        return services
    if side.ports is not None and not _ports(side.ports, world, address, protocol, port, closing):
        return ports
    if side.not_ports is not None and _ports(side.not_ports, world, address, protocol, port, not closing):
        return not_ports
    return None


def _known(answer: bool | None, default: bool) -> bool:
    return default if answer is None else answer


def _in_services(
    world: World, names: Iterable[str], address: str, protocol: int, port: int | None, default: bool
) -> bool:
    for name in names:
        members = world.service_set(name)
        if members is None:
            if default:
                return True
        elif port is not None and (canonical(address), protocol, port) in members:
            return True
    return False


def _ports(ports: Ports, world: World, address: str, protocol: int, port: int | None, default: bool) -> bool:
    """Ports exist only for protocols that have them; an unknown port is in no range."""
    if protocol in (ICMP, ICMPV6):
        return False
    if port is not None and any(r.first <= port <= r.last for r in ports.ranges):
        return True
    return bool(ports.named) and _in_services(world, ports.named, address, protocol, port, default)


def _http(http: Http, action: Action, view: View) -> Clause | None:
    if not view.http_visible:
        return Clause.HTTP
    if view.post is Post.KERNEL and action is Action.ALLOW:
        return None  # the layer 4 part alone; only files may hold it in other rules than Allow
    request = view.flow.http
    if request is None:
        return Clause.HTTP
    return http_failure(http, request)


def http_failure(http: Http, request: Request) -> Clause | None:
    """The part of an HTTP clause that a request does not satisfy."""
    if not httppath.matches_method(request.method, http.methods):
        return Clause.HTTP_METHODS
    if http.paths:
        path = httppath.hardened(request.path)
        if not any(httppath.matches(path, exact=clause.exact, prefix=clause.prefix) for clause in http.paths):
            return Clause.HTTP_PATHS
    return None
