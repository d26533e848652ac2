"""Sets of traffic between two ends: protocols, ports, and classes of requests, as intervals.

A point is a protocol's row and a port (of ICMP: type and code); with each interval of points goes
a bitmap of the request classes that are in the set there. Canonical (sorted, disjoint, merged), so
that equal sets are equal tuples, can be keys, and are computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise

from tsujiban.resources import protocols

Traffic = tuple[tuple[int, int, int], ...]
"""(first point, last point, request classes), canonical."""

NOTHING: Traffic = ()
PORTS = 1 << 16
CODES = 1 << 8
OTHER = 0
"""The protocol number that stands for all that no rule names."""

_ICMP = (protocols.ICMP, protocols.ICMPV6)
_ALWAYS = (protocols.TCP, protocols.UDP, protocols.SCTP, *_ICMP)


class Axis:
    """Which protocols are told apart, and where on the axis each lies."""

    def __init__(self, named: Iterable[int]) -> None:
        self.protocols = (*_ALWAYS, *sorted(set(named) - set(_ALWAYS)), OTHER)
        self._rows: dict[int, tuple[int, int]] = {}
        for row, protocol in enumerate(self.protocols):
            wide = protocol in protocols.WITH_PORTS or protocol in _ICMP
            self._rows[protocol] = row * PORTS, row * PORTS + PORTS - 1 if wide else row * PORTS
        self._of: dict[tuple[tuple[int, ...], int], Traffic] = {}

    def row(self, protocol: int) -> tuple[int, int]:
        """First and last point of a protocol. Without ports it has one point."""
        return self._rows.get(protocol) or self._rows[OTHER]

    def point(self, protocol: int, port: int, icmp_type: int | None, icmp_code: int | None) -> int:
        """The point of a flow."""
        first, last = self.row(protocol)
        if protocol in _ICMP:
            return first + (icmp_type or 0) * CODES + (icmp_code or 0)
        return first + port if last > first else first

    def all(self, bits: int) -> Traffic:
        """Everything."""
        return self.of(self.protocols, bits)

    def of(self, wanted: Iterable[int], bits: int) -> Traffic:
        """All of some protocols."""
        key = tuple(wanted), bits
        found = self._of.get(key)
        if found is None:
            found = self._of[key] = canonical((*self.row(protocol), bits) for protocol in key[0])
        return found

    def ports(self, ranges: Iterable[tuple[int, int]], bits: int) -> Traffic:
        """Port ranges of every protocol that has ports."""
        wanted = list(ranges)
        found = []
        for protocol in self.protocols:
            if protocol in _ICMP:
                continue
            first, last = self.row(protocol)
            found += [
                (first + low, min(first + high, last), bits) for low, high in wanted if first + low <= last
            ]
        return canonical(found)

    def split(self, traffic: Traffic) -> Iterator[tuple[int, int, int, int]]:
        """The intervals by protocol: protocol, first port, last port, request classes."""
        for first, last, bits in traffic:
            for protocol in self.protocols:
                low, high = self.row(protocol)
                if low <= last and first <= high:
                    yield protocol, max(first, low) - low, min(last, high) - low, bits


def canonical(intervals: Iterable[tuple[int, int, int]]) -> Traffic:
    """The union of intervals that may overlap."""
    found: Traffic = NOTHING
    pending = sorted(interval for interval in intervals if interval[2])
    if all(a[1] < b[0] for a, b in pairwise(pending)):
        return _merged(pending)
    for interval in pending:
        found = union(found, (interval,))
    return found


@lru_cache(maxsize=1 << 16)
def union(one: Traffic, other: Traffic) -> Traffic:
    """What is in either."""
    if not one or one == other:
        return other
    return one if not other else _merged((f, t, a | b) for f, t, a, b in _cells(one, other))


@lru_cache(maxsize=1 << 16)
def intersect(one: Traffic, other: Traffic) -> Traffic:
    """What is in both."""
    if one == other:
        return one
    return _merged((f, t, a & b) for f, t, a, b in _cells(one, other)) if one and other else NOTHING


@lru_cache(maxsize=1 << 16)
def subtract(one: Traffic, other: Traffic) -> Traffic:
    """What is in the first only."""
    if not one or one == other:
        return NOTHING
    return _merged((f, t, a & ~b) for f, t, a, b in _cells(one, other)) if other else one


def spread(traffic: Traffic, width: int) -> Traffic:
    """The same set where each class has become `width` classes."""
    if width == 1:
        return traffic
    block = (1 << width) - 1
    return tuple((first, last, _spread(bits, width, block)) for first, last, bits in traffic)


def bits_at(traffic: Traffic, point: int) -> int:
    """The request classes at one point."""
    return next((bits for first, last, bits in traffic if first <= point <= last), 0)


@lru_cache(maxsize=1 << 12)
def _spread(bits: int, width: int, block: int) -> int:
    found, at = 0, 0
    while bits:
        if bits & 1:
            found |= block << at
        bits >>= 1
        at += width
    return found


def _cells(one: Traffic, other: Traffic) -> Iterator[tuple[int, int, int, int]]:
    cuts = sorted({c for first, last, _ in (*one, *other) for c in (first, last + 1)})
    i = j = 0
    for first, after in pairwise(cuts):
        while i < len(one) and one[i][1] < first:
            i += 1
        while j < len(other) and other[j][1] < first:
            j += 1
        a = one[i][2] if i < len(one) and one[i][0] <= first else 0
        b = other[j][2] if j < len(other) and other[j][0] <= first else 0
        yield first, after - 1, a, b


def _merged(cells: Iterable[tuple[int, int, int]]) -> Traffic:
    found: list[tuple[int, int, int]] = []
    for first, last, bits in cells:
        if not bits:
            continue
        if found and found[-1][1] + 1 == first and found[-1][2] == bits:
            found[-1] = (found[-1][0], last, bits)
        else:
            found.append((first, last, bits))
    return tuple(found)
