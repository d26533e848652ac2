"""Which of the clauses that a program names does an address satisfy?

Policies select thousands of addresses, but most addresses are alike: they are members of the
same sets and lie in the same networks. The signature of an address is all that a rule can ask
of it; addresses of one signature get one decision, made once, when configuration is rendered.
What is left for Envoy to look at is the address, the port and the request.

The networks that a program names cut the address space into regions, in each of which all addresses
lie in the same networks. So an address is placed by one search, whatever else the cluster holds.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from tsujiban.policy.addresses import Span, canonical, span
from tsujiban.policy.program import AddressSet, Frozen, ServiceSet
from tsujiban.proxy.peers import LAST

TCP = 6
T = TypeVar("T")


class Signature(Frozen, frozen=True):
    """All that a rule can ask of one address. `owned` sets hold it as the identity it has proven;
    `seen` sets hold it by address alone (a superset)."""

    version: int  # 4 or 6
    identity: str = ""  # proven SPIFFE ID; "" is none
    nets: frozenset[str] = frozenset()
    owned: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    services: frozenset[tuple[str, int]] = frozenset()  # (service set, TCP port)


class Region(NamedTuple):
    """Addresses that lie in the same networks."""

    span: Span
    signature: Signature  # of those that prove nothing, and have no services
    owners: bool  # whether members of sets are only those with a certain identity


class Vocabulary:
    """The networks and sets that one program names, indexed by prefix."""

    def __init__(
        self,
        nets: Iterable[str],
        sets: Mapping[str, AddressSet],
        service_sets: Mapping[str, ServiceSet],
    ) -> None:
        self._nets: defaultdict[Span, set[str]] = defaultdict(set)
        self._members: defaultdict[Span, set[tuple[str, str]]] = defaultdict(set)
        self._services: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        for net in nets:
            self._nets[span(net)].add(net)
        for name, addresses in sets.items():
            for member in addresses.members:
                self._members[span(member.net)].add((name, member.identity))
        for name, service in service_sets.items():
            for triple in service.members:
                if triple.protocol == TCP:
                    self._services[canonical(triple.address)].add((name, triple.port))
        self._starts, self._around = _regions(self._nets.keys() | self._members.keys())

    def prefixes(self) -> set[str]:
        """Every network and member, canonical."""
        spans = self._nets.keys() | self._members.keys()
        return {text(one) for one in spans if one[0]} | set(self._services)

    def signature(self, prefix: str, identity: str, *, stands_for: str | None = None) -> Signature:
        """Signature of one address or network. `stands_for` goes into it as identity, when many are
        alike to who asks."""
        here = span(prefix)
        version, first, last = here
        region = bisect_right(self._starts, (version, first)) - 1
        around = self._around[region] if region >= 0 else ()
        around = tuple(one for one in around if one[2] >= last)  # of a network, what holds the whole of it
        services = self._services.get(text(here), _NOTHING) if self._services and first == last else _NOTHING
        return self._sign(version, around, identity, services, stands_for)

    def _sign(
        self,
        version: int,
        around: Iterable[Span],
        identity: str,
        services: Iterable[tuple[str, int]] = (),
        stands_for: str | None = None,
    ) -> Signature:
        nets: set[str] = set()
        owned: set[str] = set()
        seen: set[str] = set()
        for one in around:
            nets |= self._nets.get(one, _NOTHING)
            for name, owner in self._members.get(one, ()):
                seen.add(name)
                if owner in {"", identity}:
                    owned.add(name)
        return Signature(
            version=version,
            identity=identity if stands_for is None else stands_for,
            nets=frozenset(nets),
            owned=frozenset(owned),
            seen=frozenset(seen),
            services=frozenset(services),
        )

    def regions(self) -> Iterator[Region]:
        """All regions, in order: together they are the whole address space."""
        starts = [(4, 0), *self._starts, (6, 0)]
        arounds: list[tuple[Span, ...]] = [(), *self._around, ()]
        order = sorted(range(len(starts)), key=starts.__getitem__)
        for index, following in zip(order, [*order[1:], None], strict=True):
            version, first = starts[index]
            if version not in LAST or (following is not None and starts[following] == starts[index]):
                continue
            last = LAST[version]
            if following is not None and starts[following][0] == version:
                last = starts[following][1] - 1
            if first <= last:
                around = arounds[index]
                owners = any(owner for one in around for _, owner in self._members.get(one, ()))
                yield Region((version, first, last), self._sign(version, around, ""), owners)

    def addresses_of_services(self) -> Iterable[str]:
        """Addresses that have a signature of their own, for the services there."""
        return self._services.keys()


_NOTHING: frozenset[Any] = frozenset()


def _regions(spans: Iterable[Span]) -> tuple[list[tuple[int, int]], list[tuple[Span, ...]]]:
    """Where each region begins (IP version, address), ascending, and the networks around it."""
    starts: list[tuple[int, int]] = []
    around: list[tuple[Span, ...]] = []
    stack: list[Span] = []

    def begin(version: int, first: int) -> None:
        starts.append((version, first))
        around.append(tuple(stack))

    for one in sorted(spans, key=_outer_first):
        while stack and not (stack[-1][0] == one[0] and stack[-1][2] >= one[2]):
            ended = stack.pop()
            begin(ended[0], ended[2] + 1)
        stack.append(one)
        begin(one[0], one[1])
    while stack:
        ended = stack.pop()
        begin(ended[0], ended[2] + 1)
    return starts, around


def text(one: Span) -> str:
    """A span as an address, or as a network."""
    version, first, last = one
    kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    bits = 32 if version == 4 else 128
    return canonical(str(kind((first, bits - (last - first).bit_length()))))


def minimal(ranges: Mapping[str, T], default: Mapping[int, T]) -> dict[str, T]:
    """Of prefixes with values, those that say something else than the next prefix around them; outside
    of all is `default`, by IP version. Longest-prefix matches in both are the same."""
    found: dict[str, T] = {}
    stack: list[tuple[Span, T]] = []
    for here, prefix in sorted(((span(one), one) for one in ranges), key=lambda item: _outer_first(item[0])):
        while stack and not (stack[-1][0][0] == here[0] and stack[-1][0][2] >= here[2]):
            stack.pop()
        value = ranges[prefix]
        around = stack[-1][1] if stack else default.get(here[0])
        stack.append((here, value))
        if value != around:
            found[prefix] = value
    return found


def _outer_first(one: Span) -> tuple[int, int, int]:
    return (one[0], one[1], -one[2])
