"""Members of sets as nftables elements, in the canonical form that listings are compared in.

A node holds few sets, but large ones, and a change touches few members: elements of a set that
did not change are the very same objects as before, and the elements of one that did are derived
from the difference, not from the whole.
"""

from __future__ import annotations

import functools
import ipaddress
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable

from tsujiban.policy.program import AddressSet, Member, ServiceMember, ServiceSet

VERSIONS = (4, 6)

Elements = dict[str, str]

Span = tuple[int, int]  # first and last address, as numbers


class Derived(dict[str, str]):
    """Elements that know by which difference they came from those before them.

    Two large sets that differ by one element are then compared by that element alone.
    """

    def __init__(self, before: Elements, gone: Iterable[str], come: Iterable[str] | Elements) -> None:
        super().__init__(before)
        self.mark = object()  # stands for exactly these elements
        self.origin = before.mark if isinstance(before, Derived) else None
        self.gone = {key: self.pop(key) for key in gone}
        self.come = come if isinstance(come, dict) else dict.fromkeys(come, "")
        self.update(self.come)


def difference(have: Elements, want: Elements) -> tuple[Elements, Elements]:
    """What has to go from `have`, and what has to come, to make `want`; with other data is both."""
    if have is want:
        return {}, {}
    if isinstance(have, Derived) and isinstance(want, Derived) and want.origin is have.mark:
        return want.gone, want.come
    gone = {key: data for key, data in have.items() if want.get(key) != data}
    come = {key: data for key, data in want.items() if have.get(key) != data}
    return gone, come


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers as ranges that neither overlap nor touch, ascending."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def number_elements(ranges: Iterable[tuple[int, int]]) -> Elements:
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
        self.elements = Derived({}, (), map(self._text, self._merged))

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
            gone_keys, come_keys = map(self._text, old - new), map(self._text, new - old)
            self.elements = Derived(self.elements, gone_keys, come_keys)

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


class AddressElements:
    """What one AddressSet is in the kernel, kept up to date by differences.

    While all members are single addresses the set is a hash; one CIDR makes it an interval set,
    which costs more to change.
    """

    def __init__(self) -> None:
        self._members: frozenset[Member] = frozenset()
        self._counts: Counter[str] = Counter()  # several members may have one address
        self._networks = 0  # how many of them are more than an address
        self._hosts: dict[int, Derived] = {version: Derived({}, (), ()) for version in VERSIONS}
        self._spans: dict[int, _Spans] = {}  # when there is a network

    @property
    def interval(self) -> bool:
        """Whether the kernel's set must hold ranges."""
        return self._networks > 0

    def update(self, new: AddressSet) -> None:
        """Take over the members of `new`."""
        if self._members is new.members:
            return
        changes: Counter[str] = Counter()
        come_members = new.members - self._members
        for member in come_members:
            changes[canonical(member.net)] += 1
        if len(self._members) + len(come_members) != len(new.members):
            for member in self._members - new.members:
                changes[canonical(member.net)] -= 1
        self._members = new.members
        come = [net for net, change in changes.items() if change > 0 and not self._counts[net]]
        self._counts.update(changes)
        gone = [net for net, change in changes.items() if change < 0 and not self._counts[net]]
        for net in changes:
            if not self._counts[net]:
                del self._counts[net]
        was = self.interval
        self._networks += sum("/" in net for net in come) - sum("/" in net for net in gone)
        for version in VERSIONS:
            self._replace(version, was, _of(version, come), _of(version, gone))

    def _replace(self, version: int, was: bool, come: list[str], gone: list[str]) -> None:
        """Take over a difference; `was`: ranges were held before it."""
        if self.interval != was:
            every = _of(version, self._counts)
            self._hosts[version] = Derived({}, (), () if self.interval else every)
            self._spans[version] = _Spans(version, map(_span, every) if self.interval else ())
        elif self.interval:
            self._spans[version].change(map(_span, gone), map(_span, come))
        elif come or gone:
            self._hosts[version] = Derived(self._hosts[version], gone, come)

    def elements(self, version: int) -> Elements:
        """Elements for one IP version; the same object until they change."""
        return self._spans[version].elements if self.interval else self._hosts[version]


def _of(version: int, nets: Iterable[str]) -> list[str]:
    return [net for net in nets if (":" in net) == (version == 6)]


def _span(net: str) -> Span:
    network = ipaddress.ip_network(net)
    return int(network[0]), int(network[-1])


class ServiceElements:
    """What one ServiceSet is in the kernel; the same objects until it changes."""

    def __init__(self) -> None:
        self._members: frozenset[ServiceMember] = frozenset()
        self._elements: dict[int, Elements] = {4: {}, 6: {}}

    def update(self, new: ServiceSet) -> None:
        """Take over the members of `new`."""
        if self._members is new.members or self._members == new.members:
            return
        found: dict[int, dict[str, str]] = {4: {}, 6: {}}
        for member in new.members:
            address = canonical(member.address)
            found[6 if ":" in address else 4][triple(address, member.protocol, member.port)] = ""
        self._elements.update(found)
        self._members = new.members

    def elements(self, version: int) -> Elements:
        """Elements for one IP version."""
        return self._elements[version]


def triple(address: str, protocol: int, port: int) -> str:
    """The key of a concatenation of address, protocol and port."""
    return f"{address} . {protocol:d} . {port:d}"
