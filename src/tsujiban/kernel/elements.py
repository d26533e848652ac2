"""Members of sets as nftables elements, in the canonical form that listings are compared in.

A node holds few sets, but large ones, and a change touches few members: elements of a set that
did not change are the very same objects as before, and the elements of one that did are derived
from the difference, not from the whole.
"""

from __future__ import annotations

import functools
import ipaddress
from collections import Counter
from collections.abc import Iterable

from tsujiban.policy.program import AddressSet, Member, ServiceMember, ServiceSet

VERSIONS = (4, 6)

Elements = dict[str, str]


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


class AddressElements:
    """What one AddressSet is in the kernel, kept up to date by differences.

    While all members are single addresses the set is a hash; one CIDR makes it an interval set,
    which costs more to change.
    """

    def __init__(self) -> None:
        self._members: frozenset[Member] = frozenset()
        self._counts: Counter[str] = Counter()  # several members may have one address
        self._elements: dict[int, Elements] = {4: {}, 6: {}}
        self.interval = False

    def update(self, new: AddressSet) -> None:
        """Take over the members of `new`."""
        old = self._members
        if old is new.members or old == new.members:
            return
        for member in old - new.members:
            net = canonical(member.net)
            self._counts[net] -= 1
            if not self._counts[net]:
                del self._counts[net]
        for member in new.members - old:
            self._counts[canonical(member.net)] += 1
        self._members = new.members
        self.interval = any("/" in net for net in self._counts)
        for version in VERSIONS:
            self._replace(version)

    def _replace(self, version: int) -> None:
        elements: Elements = {net: "" for net in self._counts if (":" in net) == (version == 6)}
        if self.interval:
            elements = network_elements(elements, version)
        if elements != self._elements[version]:
            self._elements[version] = elements

    def elements(self, version: int) -> Elements:
        """Elements for one IP version; the same object until they change."""
        return self._elements[version]


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
