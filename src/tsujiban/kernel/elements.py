"""Members of sets as nftables elements, in the canonical form that listings are compared in.

A node holds few sets, but large ones, and a change touches few members: elements of a set that
did not change are the very same objects as before, and the elements of one that did are the next
version of those before (`policy.versions`), made from the difference, never from the whole.
"""

from __future__ import annotations

import functools
import ipaddress
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Generic, TypeVar

from tsujiban.policy.program import AddressSet, Member, ServiceMember, ServiceSet
from tsujiban.policy.versions import Versioned, set_difference

M = TypeVar("M")

VERSIONS = (4, 6)

Elements = Mapping[str, str]
Own = Versioned[str, str]  # elements that are kept up to date

Span = tuple[int, int]  # first and last address, as numbers


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers as ranges that neither overlap nor touch, ascending."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def number_elements(ranges: Iterable[tuple[int, int]]) -> dict[str, str]:
    """Elements of an interval set of numbers (ports)."""
    return {str(a) if a == b else f"{a}-{b}": "" for a, b in merged(ranges)}


def network_elements(nets: Iterable[str], version: int) -> Elements:
    """Elements of an interval set of addresses; nets of the other IP version are left out."""
    make = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    parsed = (ipaddress.ip_network(net, strict=False) for net in nets)
    spans = ((int(net[0]), int(net[-1])) for net in parsed if net.version == version)
    return {str(make(a)) if a == b else f"{make(a)}-{make(b)}": "" for a, b in merged(spans)}


@functools.lru_cache(maxsize=1 << 13)
def canonical(net: str) -> str:
    """An address without prefix length, or a network with it. Raises ValueError for neither."""
    network = ipaddress.ip_network(net, strict=False)
    return str(network[0]) if network.prefixlen == network.max_prefixlen else str(network)


class _Spans:
    """The networks of one IP version as ranges that neither overlap nor touch, changed one by one."""

    def __init__(self, version: int, spans: Iterable[Span]) -> None:
        self._make = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
        self._spans = sorted(spans)
        self._merged = merged(self._spans)
        self.elements: Own = Versioned(dict.fromkeys(map(self._text, self._merged), ""))

    def change(self, gone: Iterable[Span], come: Iterable[Span]) -> None:
        """Take over a difference. What has gone must have been there."""
        touched: list[Span] = []
        for span in come:
            insort(self._spans, span)
            touched.append(span)
        for span in gone:
            del self._spans[bisect_left(self._spans, span)]
            touched.append(span)
        old: set[Span] = set()
        new: set[Span] = set()
        for first, last in merged(touched):
            old |= set(self._overlapping(first - 1, last + 1))
        for first, last in merged([*touched, *old]):
            # nothing outside of this range overlaps or touches anything inside of it
            inside = self._spans[
                bisect_left(self._spans, (first, -1)) : bisect_right(self._spans, (last + 1, -1))
            ]
            new |= set(merged(inside))
        for span in old - new:
            del self._merged[bisect_left(self._merged, span)]
        for span in new - old:
            insort(self._merged, span)
        if old != new:
            come_keys = dict.fromkeys(map(self._text, new - old), "")
            self.elements = self.elements.changed(map(self._text, old - new), come_keys)

    def _overlapping(self, first: int, last: int) -> Iterable[Span]:
        """Merged ranges with a number from `first` to `last`."""
        index = bisect_right(self._merged, (first, 1 << 129))
        if index and self._merged[index - 1][1] >= first:
            index -= 1
        while index < len(self._merged) and self._merged[index][0] <= last:
            yield self._merged[index]
            index += 1

    def _text(self, span: Span) -> str:
        first, last = map(self._make, span)
        return str(first) if first == last else f"{first}-{last}"


class _Counted(Generic[M]):
    """The keys of a set's members: several members may have one."""

    def __init__(self, key: Callable[[M], str]) -> None:
        self._key = key
        self._members: AbstractSet[M] = frozenset()
        self.keys: Counter[str] = Counter()

    def follow(self, members: AbstractSet[M]) -> tuple[list[str], list[str]]:
        """Take over the members; the keys that have gone, and those that have come."""
        less, more = set_difference(self._members, members)
        changes = Counter(map(self._key, more))
        changes.subtract(map(self._key, less))
        self._members = members
        come = [key for key, change in changes.items() if change > 0 and not self.keys[key]]
        self.keys.update(changes)
        gone = [key for key, change in changes.items() if change < 0 and not self.keys[key]]
        for key in changes:
            if not self.keys[key]:
                del self.keys[key]
        return gone, come


class AddressElements:
    """What one AddressSet is in the kernel, kept up to date by differences.

    While all members are single addresses the set is a hash; one CIDR makes it an interval set,
    which costs more to change.
    """

    def __init__(self) -> None:
        self._nets: _Counted[Member] = _Counted(lambda member: canonical(member.net))
        self._networks = 0  # how many of them are more than an address
        self._hosts: dict[int, Own] = {version: Versioned() for version in VERSIONS}
        self._spans: dict[int, _Spans] = {}  # when there is a network

    @property
    def interval(self) -> bool:
        """Whether the kernel's set must hold ranges."""
        return self._networks > 0

    def update(self, new: AddressSet) -> None:
        """Take over the members of `new`."""
        gone, come = self._nets.follow(new.members)
        was = self.interval
        self._networks += sum("/" in net for net in come) - sum("/" in net for net in gone)
        for version in VERSIONS:
            self._replace(version, was, _of(version, come), _of(version, gone))

    def _replace(self, version: int, was: bool, come: list[str], gone: list[str]) -> None:
        """Take over a difference; `was`: ranges were held before it."""
        if self.interval != was:
            every = _of(version, self._nets.keys)
            self._hosts[version] = Versioned({} if self.interval else dict.fromkeys(every, ""))
            self._spans[version] = _Spans(version, map(_span, every) if self.interval else ())
        elif self.interval:
            self._spans[version].change(map(_span, gone), map(_span, come))
        elif come or gone:
            self._hosts[version] = self._hosts[version].changed(gone, dict.fromkeys(come, ""))

    def elements(self, version: int) -> Elements:
        """Elements for one IP version; the same object until they change."""
        return self._spans[version].elements if self.interval else self._hosts[version]


def _of(version: int, nets: Iterable[str]) -> list[str]:
    return [net for net in nets if (":" in net) == (version == 6)]


def _span(net: str) -> Span:
    network = ipaddress.ip_network(net)
    return int(network[0]), int(network[-1])


class ServiceElements:
    """What one ServiceSet is in the kernel, kept up to date by differences."""

    def __init__(self) -> None:
        self._triples: _Counted[ServiceMember] = _Counted(
            lambda member: triple(canonical(member.address), member.protocol, member.port)
        )
        self._elements: dict[int, Own] = {version: Versioned() for version in VERSIONS}

    def update(self, new: ServiceSet) -> None:
        """Take over the members of `new`."""
        gone, come = self._triples.follow(new.members)
        for version in VERSIONS:
            less, more = _of(version, gone), _of(version, come)
            if less or more:
                self._elements[version] = self._elements[version].changed(less, dict.fromkeys(more, ""))

    def elements(self, version: int) -> Elements:
        """Elements for one IP version; the same object until they change."""
        return self._elements[version]


def triple(address: str, protocol: int, port: int) -> str:
    """The key of a concatenation of address, protocol and port."""
    return f"{address} . {protocol:d} . {port:d}"
