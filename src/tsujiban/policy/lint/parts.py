"""Rules taken apart, and the few points at which anything they ask can change.

A rule is a conjunction of questions about the other end's address, about protocol and ports, and
about the request. Asked apart, each has few different answers, so that all traffic of an endpoint
falls into a few classes on which every rule is constant. The questions are asked with
`clauses.first_failure`, the evaluator's own test: there is no second meaning of a rule here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from tsujiban.policy.addresses import canonical, is_host, span, version
from tsujiban.policy.clauses import View, first_failure
from tsujiban.policy.flow import Flow, Post, Request
from tsujiban.policy.program import Action, Http, Ports, Rule, Side
from tsujiban.policy.world import World
from tsujiban.resources import protocols

_ICMP = (protocols.ICMP, protocols.ICMPV6)
_LAST_PORT = 65535


class Place(NamedTuple):
    """The other end of a flow. `peer` None: as the kernel sees it; else with what it proves to a proxy."""

    address: str
    peer: str | None


class Lane(NamedTuple):
    """Protocol, destination port, source port, ICMP type and code."""

    protocol: int
    port: int = 0
    source_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


def addresses_of(side: Side) -> Side:
    """What a side asks of the address alone."""
    return replace(side, services=(), ports=None, not_ports=None)


def ports_of(side: Side) -> Side:
    """What a side asks beside the address."""
    return Side(services=side.services, ports=side.ports, not_ports=side.not_ports)


def mixes(side: Side) -> bool:
    """Whether a side asks about address and port together."""
    named = any(ports is not None and ports.named for ports in (side.ports, side.not_ports))
    return bool(side.services) or named


def matches(rule: Rule, world: World, flow: Flow, post: Post, peer: str | None, visible: bool) -> bool:
    """Whether a (part of a) rule matches."""
    return first_failure(rule, View(world, flow, post, peer, visible)) is None


def service_sets(side: Side) -> Iterator[str]:
    """Ids of the (address, protocol, port) sets that a side refers to."""
    yield from side.services
    for ports in (side.ports, side.not_ports):
        if ports is not None:
            yield from ports.named


# ---------------------------------------------------------------------- the other end


class Places:
    """Every address, and identity at it, that some rule of the world can tell from the others.

    Hosts stand for themselves; of each stretch of addresses between the edges of networks, the first
    stands for all. An identity only ever counts at an address that it belongs to, so beside those
    there is one case more: plaintext, or an identity from elsewhere.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        identities: dict[str, set[str]] = {}
        nets: set[str] = set()
        for endpoint in world.endpoints.values():
            for address in endpoint.addresses:
                identities.setdefault(canonical(address), set()).add(endpoint.identity)
        for address_set in world.state.sets.values():
            for member in address_set.members:
                if is_host(member.net):
                    identities.setdefault(canonical(member.net), set()).add(member.identity)
                else:
                    nets.add(member.net)
        for service_set in world.state.service_sets.values():
            for triple in service_set.members:
                identities.setdefault(canonical(triple.address), set())
        for policy in world.policies.values():
            for rule in (*policy.ingress, *policy.egress):
                for side in (rule.src, rule.dst):
                    nets.update(side.nets or ())
                    nets.update(side.not_nets)
        for edge in _edges(nets):
            identities.setdefault(edge, set())
        self.kernel = tuple(Place(address, None) for address in sorted(identities))
        self.proxy = tuple(
            Place(address, peer)
            for address in sorted(identities)
            for peer in sorted({"", *identities[address]})
        )
        self.all = (*self.kernel, *self.proxy)
        self.index = {place: index for index, place in enumerate(self.all)}
        self._answers: dict[tuple[Side, int | None, int, bool, bool], int] = {}

    def having(self, side: Side, ip_version: int | None, own: str, *, source: bool, closing: bool) -> int:
        """Bitmap over `all` of the places that satisfy a side's question about addresses."""
        own_version = version(own) if ip_version is not None else 0
        key = (side, ip_version, own_version, source, closing)
        found = self._answers.get(key)
        if found is None:
            action = Action.DENY if closing else Action.ALLOW
            blank = Side()
            here, there = (side, blank) if source else (blank, side)
            question = Rule(id="", action=action, ip_version=ip_version, src=here, dst=there)
            found = 0
            for index, place in enumerate(self.all):
                client, server = (place.address, own) if source else (own, place.address)
                post = Post.KERNEL if place.peer is None else Post.PROXY
                if matches(
                    question, self.world, Flow(source=client, destination=server), post, place.peer, True
                ):
                    found |= 1 << index
            self._answers[key] = found
        return found


def _edges(nets: Iterable[str]) -> Iterator[str]:
    import ipaddress

    cuts: set[tuple[int, int]] = {(4, 0), (6, 0)}
    for net in nets:
        family, first, last = span(net)
        if family:
            cuts.add((family, first))
            if last + 1 < 1 << (32 if family == 4 else 128):
                cuts.add((family, last + 1))
    for family, first in cuts:
        yield str(ipaddress.IPv4Address(first) if family == 4 else ipaddress.IPv6Address(first))


# ---------------------------------------------------------------------- protocols and ports


def lanes(rules: Iterable[Rule], world: World) -> list[Lane]:
    """Every protocol, port and ICMP type that some of the rules can tell from the others."""
    named: set[int] = set()
    targets, sources = {0}, {0}
    icmp: set[tuple[int | None, int | None]] = {(None, None)}
    by_source = False
    for rule in rules:
        named.update(rule.protocols, rule.not_protocols)
        for clause in (rule.icmp, rule.not_icmp):
            if clause is not None:
                for kind in (clause.type, None):
                    for code in (clause.code, None):
                        icmp.update(((kind, code), (_other(kind), code), (kind, _other(code))))
        targets.update(_cuts(rule.dst, world))
        if rule.src.ports or rule.src.not_ports or rule.src.services:
            by_source = True
            sources.update(_cuts(rule.src, world))
    fresh = next(number for number in range(253, 0, -1) if number not in named)
    known = sorted(named | {protocols.TCP, protocols.UDP, protocols.SCTP, *_ICMP, fresh})
    origins: list[int | None] = [None, *sorted(sources)] if by_source else [None]
    found = []
    for protocol in known:
        if protocol in _ICMP:
            order = sorted(icmp, key=lambda pair: (pair[0] or 0, pair[1] or 0))
            found += [Lane(protocol, icmp_type=kind, icmp_code=code) for kind, code in order]
        else:
            found += [Lane(protocol, port, origin) for port in sorted(targets) for origin in origins]
    return found


def _other(number: int | None) -> int | None:
    return None if number is None else (number + 1) % 256


def _cuts(side: Side, world: World) -> Iterator[int]:
    for ports in (side.ports, side.not_ports):
        for piece in ports.ranges if ports is not None else ():
            yield piece.first
            if piece.last < _LAST_PORT:
                yield piece.last + 1
    for name in service_sets(side):
        for _, _, port in world.service_set(name) or ():
            yield port
            if port < _LAST_PORT:
                yield port + 1


def limits_ports(ports: Ports | None) -> bool:
    """Whether a port clause leaves out any port."""
    return ports is not None and not any(r.first <= 1 and r.last == _LAST_PORT for r in ports.ranges)


# ---------------------------------------------------------------------- requests


def requests(clauses: Iterable[Http]) -> list[Request | None]:
    """Every request that some of the clauses can tell from the others; None is no HTTP at all."""
    given = list(clauses)
    if not given:
        return [None]
    methods = sorted({method for clause in given for method in clause.methods if method != "*"})
    paths = sorted({p.exact or p.prefix or "/" for clause in given for p in clause.paths})
    fresh = "x"
    while any(f"/{fresh}" in path for path in paths) or fresh.upper() in methods:
        fresh += "x"
    spots = ["/", *paths] if paths else ["/"]
    if paths:
        spots += [f"{path.rstrip('/')}/{fresh}" for path in spots]
        spots.append("/%2f")  # ambiguous: in no clause
    return [
        None,
        *(
            Request(method=method, path=path)
            for method in (*methods, fresh.upper())
            for path in dict.fromkeys(spots)
        ),
    ]
