"""Which of the clauses that a program names does an address satisfy?

Policies select thousands of addresses, but most addresses are alike: they are members of the
same sets and lie in the same networks. The signature of an address is all that a rule can ask
of it; addresses of one signature get one decision, made once, when configuration is rendered.
What is left for Envoy to look at is the address, the port and the request.

An address is looked for among the networks of each size that there is, so it is placed by some look-ups,
whatever else the cluster holds, and a set of which one member changes costs that member (`with_members`).
"""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from copy import copy
from functools import lru_cache
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
        self._members: dict[Span, frozenset[tuple[str, str]]] = {}
        self._services: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        self._sizes: Counter[tuple[int, int]] = Counter()  # of networks, by IP version and addresses in one
        for net in nets:
            self._nets[span(net)].add(net)
        self._sizes.update(map(_size, self._nets))
        self._sets = sets
        members: defaultdict[Span, set[tuple[str, str]]] = defaultdict(set)
        for name, addresses in sets.items():
            for member in addresses.members:
                members[span(member.net)].add((name, member.identity))
        for one, words in members.items():
            self._put(one, frozenset(words))
        for name, service in service_sets.items():
            for triple in service.members:
                if triple.protocol == TCP:
                    self._services[canonical(triple.address)].add((name, triple.port))

    def with_members(self, sets: Mapping[str, AddressSet]) -> tuple[Vocabulary, set[Span]]:
        """The same with other members of the same sets, and the members that have come or gone."""
        made = copy(self)
        made._sets = sets
        made._members, made._sizes = dict(self._members), Counter(self._sizes)
        changed: set[Span] = set()
        for name, addresses in sets.items():
            before, now = self._sets[name].members, addresses.members
            for member in before ^ now if before is not now else ():
                here, word = span(member.net), (name, member.identity)
                words = made._members.get(here, _NOTHING)
                made._put(here, words | {word} if member in now else words - {word})
                changed.add(here)
        return made, changed

    def _put(self, here: Span, words: frozenset[tuple[str, str]]) -> None:
        if not self._members.get(here):
            self._sizes[_size(here)] += 1
        if words:
            self._members[here] = words
        else:
            self._members.pop(here, None)
            self._sizes[_size(here)] -= 1

    def prefixes(self) -> set[str]:
        """Every network and member, canonical."""
        spans = self._nets.keys() | self._members.keys()
        return {text(one) for one in spans if one[0]} | set(self._services)

    def names(self, prefix: str) -> bool:
        """Whether it is one of the `prefixes`."""
        here = span(prefix)
        return here in self._nets or here in self._members or prefix in self._services

    def signature(self, prefix: str, identity: str, *, stands_for: str | None = None) -> Signature:
        """Signature of one address or network. `stands_for` goes into it as identity, when many are
        alike to who asks."""
        here = span(prefix)
        version, first, last = here
        around = _around(here, (one for one, there in self._sizes.items() if there))
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
        found, within = _regions(self._nets.keys() | self._members.keys())
        starts = [(4, 0), *found, (6, 0)]
        arounds: list[tuple[Span, ...]] = [(), *within, ()]
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

    for one in sorted(spans, key=outer_first):
        while stack and not (stack[-1][0] == one[0] and stack[-1][2] >= one[2]):
            ended = stack.pop()
            begin(ended[0], ended[2] + 1)
        stack.append(one)
        begin(one[0], one[1])
    while stack:
        ended = stack.pop()
        begin(ended[0], ended[2] + 1)
    return starts, around


def inside(prefixes: Iterable[str], nets: Set[Span]) -> set[str]:
    """The prefixes that lie in one of the networks, or are one."""
    sizes = {_size(one) for one in nets}
    return {prefix for prefix in prefixes if any(one in nets for one in _around(span(prefix), sizes))}


def _around(here: Span, sizes: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """The networks of these sizes that hold the whole of one."""
    version, first, last = here
    for of, size in sizes:
        if of == version and size > last - first >= 0:
            begin = first - first % size
            yield version, begin, begin + size - 1


def _size(one: Span) -> tuple[int, int]:
    """Its IP version, and how many addresses are in it."""
    return one[0], one[2] - one[1] + 1


@lru_cache(maxsize=1 << 17)
def text(one: Span) -> str:
    """A span as an address, or as a network."""
    version, first, last = one
    kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    bits = 32 if version == 4 else 128
    return canonical(str(kind((first, bits - (last - first).bit_length()))))


def outer_first(one: Span) -> tuple[int, int, int]:
    """A key by which networks come in order, each before what is in it."""
    return (one[0], one[1], -one[2])
