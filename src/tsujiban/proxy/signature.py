"""Which of the clauses that a program names does an address satisfy?

Policies select thousands of addresses, but most addresses are alike: they are members of the
same sets and lie in the same networks. The signature of an address is all that a rule can ask
of it; addresses of one signature (a cell) get one decision, made once, when configuration is
rendered. What is left for Envoy to look at is the cell, the port and the request.

A network without listed parts inside it is one cell as well: all its addresses have the same
signature. So the cells of a longest-prefix trie cover the whole address space exactly.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from tsujiban.policy.addresses import Span, canonical, span
from tsujiban.policy.program import AddressSet, Frozen, ServiceSet

TCP = 6


class Signature(Frozen, frozen=True):
    """All that a rule can ask of one address. `owned` sets hold it as the identity it has proven;
    `seen` sets hold it by address alone (a superset)."""

    version: int  # 4 or 6
    identity: str = ""  # proven SPIFFE ID; "" is none
    nets: frozenset[str] = frozenset()
    owned: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    services: frozenset[tuple[str, int]] = frozenset()  # (service set, TCP port)


class Cell(Frozen, frozen=True):
    """Addresses of one signature, as prefixes of a longest-prefix match."""

    signature: Signature
    prefixes: tuple[str, ...]  # canonical; () is: everything that no other cell holds


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

    def prefixes(self) -> set[str]:
        """Every network and member, canonical."""
        spans = self._nets.keys() | self._members.keys()
        return {_text(one) for one in spans if one[0]} | set(self._services)

    def cells(self, points: Iterable[tuple[str, str]]) -> tuple[Cell, ...]:
        """Cells of the given (prefix, identity) points, grouped by signature, in stable order."""
        groups: defaultdict[Signature, list[str]] = defaultdict(list)
        for prefix, signature in self._signatures(points):
            groups[signature].append(prefix)
        cells = (Cell(signature=one, prefixes=tuple(sorted(nets))) for one, nets in groups.items())
        return tuple(sorted(cells, key=lambda cell: cell.prefixes))

    def signature(self, address: str, identity: str) -> Signature:
        """Signature of one address or prefix."""
        return next(self._signatures([(address, identity)]))[1]

    def _signatures(self, points: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Signature]]:
        # Sorted by start, longest first, so that the networks around a point are on a stack.
        known = self._nets.keys() | self._members.keys()
        work = [(one[0], one[1], -one[2], 0, "") for one in known]
        for prefix, identity in points:
            version, first, last = span(prefix)
            work.append((version, first, -last, 1, identity))
        stack: list[Span] = []
        for version, first, minus_last, is_point, identity in sorted(work):
            here = (version, first, -minus_last)
            while stack and not (stack[-1][0] == version and stack[-1][2] >= -minus_last):
                stack.pop()
            if is_point:
                yield _text(here), self._sign(stack, here, identity)
            else:
                stack.append(here)

    def _sign(self, around: list[Span], here: Span, identity: str) -> Signature:
        nets: set[str] = set()
        owned: set[str] = set()
        seen: set[str] = set()
        for one in around:
            nets |= self._nets.get(one, set())
            for name, owner in self._members.get(one, ()):
                seen.add(name)
                if owner in {"", identity}:
                    owned.add(name)
        services = self._services.get(_text(here), set()) if here[1] == here[2] else set()
        return Signature(
            version=here[0],
            identity=identity,
            nets=frozenset(nets),
            owned=frozenset(owned),
            seen=frozenset(seen),
            services=frozenset(services),
        )


def _text(one: Span) -> str:
    version, first, last = one
    kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    bits = 32 if version == 4 else 128
    return canonical(str(kind((first, bits - (last - first).bit_length()))))
