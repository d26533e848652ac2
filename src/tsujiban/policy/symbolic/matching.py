"""Which ends and which traffic a network policy rule matches, seen from one end.

The clauses and their order of meaning are those of `policy.clauses`; here each is asked about a
whole class at once, and answers with sets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from enum import StrEnum

from tsujiban.policy.program import Action, Direction, Icmp, Ports, Rule, Side
from tsujiban.policy.symbolic.distinctions import services_of
from tsujiban.policy.symbolic.parties import Parties, Party
from tsujiban.policy.symbolic.requests import Vocabulary
from tsujiban.policy.symbolic.traffic import (
    CODES,
    NOTHING,
    PORTS,
    Axis,
    Traffic,
    canonical,
    intersect,
    subtract,
)
from tsujiban.policy.world import World
from tsujiban.resources.protocols import ICMP, ICMPV6, TCP

Piece = tuple[int, Traffic]
"""Parties as a bitmap, and traffic with them."""


class Sight(StrEnum):
    """How the source of a flow is seen."""

    KERNEL = "kernel"  # by its address
    HONEST = "honest"  # by its address and the identity that it proved
    PLAIN = "plain"  # by its address, with no identity


class SourcePorts:
    """The classes of source ports: intervals between the ports that some rule names."""

    def __init__(self, bounds: Iterable[int]) -> None:
        self.starts = sorted({0} | {port for port in bounds if 0 < port < PORTS})
        self.all = (1 << len(self.starts)) - 1

    def bits(self, first: int, last: int) -> int:
        """The classes of a range that was named."""
        return sum(1 << at for at, start in enumerate(self.starts) if first <= start <= last)

    def at(self, port: int) -> int:
        """The class of a port."""
        return sum(1 for start in self.starts if start <= port) - 1


class Matching:
    """Rules as pieces. Traffic of pieces has source port classes times the classes of requests."""

    def __init__(self, world: World, axis: Axis, parties: Parties, source_ports: SourcePorts) -> None:
        self.world = world
        self.axis = axis
        self.parties = parties
        self.source_ports = source_ports
        self.everyone = (1 << len(parties.all)) - 1
        self._by_set: dict[Sight, dict[str, int]] = {sight: defaultdict(int) for sight in Sight}
        self._by_net: dict[str, int] = defaultdict(int)
        self._by_version: dict[int, int] = defaultdict(int)
        self._speaking = 0  # parties with an entry in some service set
        for party in parties.all:
            for sight, names in zip(Sight, party.member, strict=True):
                for name in names:
                    self._by_set[sight][name] |= party.bit
            for net in parties.nets_of(party):
                self._by_net[net] |= party.bit
            self._by_version[party.version] |= party.bit
            if party.triples:
                self._speaking |= party.bit
        self._peers: dict[tuple[Side, Sight, bool], int] = {}
        self._asked: dict[Hashable, int] = {}

    def pieces(
        self,
        rule: Rule,
        own: Party,
        direction: Direction,
        sight: Sight,
        visible: bool,
        vocabulary: Vocabulary | None,
    ) -> list[Piece]:
        """What a rule of `own`'s program matches: disjoint parties, and the traffic with each.

        `visible` says that a proxy of `own` judges TCP; `vocabulary` are its classes of requests.
        """
        width = len(vocabulary.atoms) if vocabulary is not None else 1
        traffic = self._alone(rule, width)
        if rule.http is not None:
            traffic = intersect(traffic, self._http(rule, sight, visible, vocabulary, width))
        closing = rule.action is Action.DENY
        ingress = direction is Direction.INGRESS
        mine, theirs = (rule.dst, rule.src) if ingress else (rule.src, rule.dst)
        seen = sight if ingress else Sight.KERNEL  # only sources prove who they are
        here = self._everyone_in(mine, Sight.KERNEL if ingress else sight, closing)
        if not here & own.bit or not traffic:
            return []
        traffic = intersect(traffic, self._points(mine, own, not ingress, closing, width))
        peers = self._everyone_in(theirs, seen, closing)
        if rule.ip_version is not None and own.version != rule.ip_version:
            peers &= self._by_version[rule.ip_version]
        if not peers or not traffic:
            return []
        return [
            (group, both)
            for group, points in self._by_points(theirs, peers, ingress, closing, width)
            if (both := intersect(traffic, points))
        ]

    def asked(self, key: Hashable, test: Callable[[Party], bool]) -> int:
        """The parties that pass a test, which is made once for each key."""
        found = self._asked.get(key)
        if found is None:
            found = self._asked[key] = sum(party.bit for party in self.parties.all if test(party))
        return found

    def meeting(self, own: Party) -> int:
        """The parties that a flow with `own` can be with: of its IP version, or of no known one."""
        if not own.version:
            return self.everyone
        return self._by_version[own.version] | self._by_version[0]

    def within(self, net: str) -> int:
        """The parties in a network that the distinctions know."""
        return self._by_net.get(net, 0)

    def members(self, name: str, sight: Sight) -> int:
        """The parties in a set, as one post sees them."""
        return self._by_set[sight].get(name, 0)

    # ------------------------------------------------------------------ clauses of the flow

    def full(self, width: int) -> int:
        """All classes of source ports and requests."""
        return (1 << (len(self.source_ports.starts) * width)) - 1

    def _alone(self, rule: Rule, width: int) -> Traffic:
        """Protocol and ICMP clauses."""
        full = self.full(width)
        found = self.axis.of(rule.protocols, full) if rule.protocols else self.axis.all(full)
        if rule.not_protocols:
            found = subtract(found, self.axis.of(rule.not_protocols, full))
        if rule.icmp is not None:
            found = intersect(found, self._icmp(rule.icmp, full))
        if rule.not_icmp is not None:
            found = subtract(found, self._icmp(rule.not_icmp, full))
        return found

    def _icmp(self, icmp: Icmp, full: int) -> Traffic:
        types = range(CODES) if icmp.type is None else (icmp.type,)
        spans = []
        for protocol in (ICMP, ICMPV6):
            first, _ = self.axis.row(protocol)
            for kind in types:
                low = first + kind * CODES
                spans.append(
                    (low, low + CODES - 1, full) if icmp.code is None else (low + icmp.code,) * 2 + (full,)
                )
        return canonical(spans)

    def _http(
        self, rule: Rule, sight: Sight, visible: bool, vocabulary: Vocabulary | None, width: int
    ) -> Traffic:
        """An HTTP clause: TCP where a proxy reads it; at the kernel's post, for Allow, all of that."""
        if not visible or vocabulary is None or rule.http is None:
            return NOTHING
        bits = vocabulary.all
        if sight is not Sight.KERNEL or rule.action is not Action.ALLOW:
            bits = vocabulary.http(rule.http)
        return self.axis.of((TCP,), self.requests(bits, width))

    def requests(self, bits: int, width: int) -> int:
        """Classes of requests with every class of source ports."""
        return sum(bits << at * width for at in range(len(self.source_ports.starts)))

    # ------------------------------------------------------------------ clauses of the ends

    def _everyone_in(self, side: Side, sight: Sight, closing: bool) -> int:
        """The parties that satisfy a side's clauses on addresses and sets."""
        key = (side, sight, closing)
        found = self._peers.get(key)
        if found is None:
            found = self._peers[key] = self._in(side, sight, closing)
        return found

    def _in(self, side: Side, sight: Sight, closing: bool) -> int:
        found = self.everyone
        if side.nets is not None:
            inside = 0
            for net in side.nets:
                inside |= self._by_net.get(net, 0)
            found &= inside
        for net in side.not_nets:
            found &= ~self._by_net.get(net, 0)
        for name in side.sets:
            found &= self._set(name, sight, closing)
        for name in side.not_sets:
            found &= ~self._set(name, sight, not closing)
        return found

    def _set(self, name: str, sight: Sight, default: bool) -> int:
        if name not in self.world.state.sets:
            return self.everyone if default else 0
        return self._by_set[sight].get(name, 0)

    def _by_points(
        self, side: Side, peers: int, source: bool, closing: bool, width: int
    ) -> Iterator[tuple[int, Traffic]]:
        """The parties by what a side's port clauses mean for them. Only named ports and services
        depend on whose they are."""
        silent = peers
        if any(True for _ in services_of(side)):
            groups: dict[Traffic, int] = defaultdict(int)
            speaking = peers & self._speaking
            silent &= ~speaking
            for party in self._each(speaking):
                groups[self._points(side, party, source, closing, width)] |= party.bit
            for points, group in groups.items():
                yield group, points
        if silent:
            yield silent, self._points(side, None, source, closing, width)

    def _each(self, mask: int) -> Iterator[Party]:
        while mask:
            bit = mask & -mask
            mask ^= bit
            yield self.parties.all[bit.bit_length() - 1]

    def _points(self, side: Side, party: Party | None, source: bool, closing: bool, width: int) -> Traffic:
        """What a side's service and port clauses leave, for one party."""
        found = self.axis.all(self.full(width))
        if side.services:
            found = intersect(found, self._services(side.services, party, source, closing, width))
        if side.ports is not None:
            found = intersect(found, self._ports(side.ports, party, source, closing, width))
        if side.not_ports is not None:
            found = subtract(found, self._ports(side.not_ports, party, source, not closing, width))
        return found

    def _ports(self, ports: Ports, party: Party | None, source: bool, default: bool, width: int) -> Traffic:
        if source:
            bits = 0
            for one in ports.ranges:
                bits |= self.source_ports.bits(one.first, one.last)
            found = self.axis.ports([(0, PORTS - 1)], self._sourced(bits, width))
        else:
            found = self.axis.ports(((r.first, r.last) for r in ports.ranges), self.full(width))
        if ports.named:
            named = self._services(ports.named, party, source, default, width)
            numbered = self.axis.ports([(0, PORTS - 1)], self.full(width))
            found = canonical((*found, *intersect(named, numbered)))
        return found

    def _services(
        self, names: Iterable[str], party: Party | None, source: bool, default: bool, width: int
    ) -> Traffic:
        spans: list[tuple[int, int, int]] = []
        for name in names:
            if name not in self.world.state.service_sets:
                if default:
                    return self.axis.all(self.full(width))
                continue
            for its, protocol, port in party.triples if party is not None else ():
                if its != name:
                    continue
                first, last = self.axis.row(protocol)
                if source:
                    spans.append((first, last, self._sourced(self.source_ports.bits(port, port), width)))
                else:
                    at = first + port if last > first else first
                    spans.append((at, at, self.full(width)))
        return canonical(spans)

    def _sourced(self, bits: int, width: int) -> int:
        """Classes of source ports with every class of requests."""
        block = (1 << width) - 1
        return sum(block << at * width for at in range(len(self.source_ports.starts)) if bits >> at & 1)
