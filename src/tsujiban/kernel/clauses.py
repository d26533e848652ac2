"""One rule's clauses as nftables matches.

A rule is a conjunction of clauses whose members are alternatives; an nftables rule is a
conjunction only. So a rule becomes as many matches as its alternatives need, usually one for
each IP version. Negations that would read a header that is not there (ports of an ICMP packet)
are split by protocol, so that they mean what they say instead of comparing other bytes.

Raw expressions (`@th,0,8`) stand for ICMP fields because nft refuses the named ones beside an
address of the other IP version. Anonymous sets are avoided: they cost superlinearly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Protocol

from tsujiban.policy.program import Icmp, PortRange, Ports, Rule, Side

PORTED = frozenset({6, 17, 33, 132, 136})  # TCP, UDP, DCCP, SCTP, UDP-Lite: ports come first in the header
ICMP = frozenset({1, 58})
_IP = {4: "ip", 6: "ip6"}
_PORT = {"saddr": "sport", "daddr": "dport"}


class MissingSetError(LookupError):
    """A rule names a set that the node's state does not hold."""


class Sets(Protocol):
    """Where the names of nftables sets come from; asking for one makes it part of the table."""

    def addresses(self, set_id: str, version: int) -> str:
        """Members of an AddressSet. Raises MissingSetError."""
        ...

    def services(self, set_id: str, version: int) -> str:
        """Members of a ServiceSet. Raises MissingSetError."""
        ...

    def networks(self, nets: Iterable[str], version: int) -> str:
        """A constant set of CIDRs."""
        ...

    def ports(self, ranges: Iterable[PortRange]) -> str:
        """A constant set of port ranges."""
        ...

    def protocols(self, numbers: Iterable[int]) -> str:
        """A constant set of protocols."""
        ...


@dataclass(frozen=True)
class _Protocols:
    """Some protocols (`only`), or all but some."""

    numbers: frozenset[int]
    only: bool

    def among(self, others: frozenset[int]) -> _Protocols:
        if self.only:
            return _Protocols(self.numbers & others, True)
        return _Protocols(others - self.numbers, True)

    def without(self, others: frozenset[int]) -> _Protocols:
        return replace(self, numbers=self.numbers - others if self.only else self.numbers | others)

    def impossible(self) -> bool:
        return self.only and not self.numbers

    def text(self, sets: Sets) -> str:
        if not self.numbers:
            return ""
        sign = "" if self.only else "!= "
        if len(self.numbers) == 1:
            return f"meta l4proto {sign}{min(self.numbers)}"
        return f"meta l4proto {sign}@{sets.protocols(self.numbers)}"


_Branch = tuple[_Protocols, tuple[str, ...]]  # protocols, and what else must match


def matches(rule: Rule, sets: Sets) -> tuple[str, ...]:
    """The nftables matches that together match what `rule` matches at layers 3 and 4.

    "" matches every packet; () means that no packet can match. The HTTP clause is not looked at.
    Raises MissingSetError.
    """
    versions: Sequence[int | None] = (4, 6) if _about_addresses(rule) else (None,)
    if rule.ip_version is not None:
        versions = (rule.ip_version,)
    return tuple(text for version in versions for text in _matches(rule, version, sets))


def _about_addresses(rule: Rule) -> bool:
    return any(
        side.nets is not None
        or side.not_nets
        or side.sets
        or side.not_sets
        or side.services
        or (side.ports and side.ports.named)
        or (side.not_ports and side.not_ports.named)
        for side in (rule.src, rule.dst)
    )


def _matches(rule: Rule, version: int | None, sets: Sets) -> list[str]:
    protocols = _Protocols(frozenset(rule.protocols), bool(rule.protocols))
    branches: list[_Branch] = [(protocols.without(frozenset(rule.not_protocols)), ())]
    for address, side in (("saddr", rule.src), ("daddr", rule.dst)):
        if version is not None:
            terms = _address_terms(address, side, version, sets)
            if terms is None:
                return []
            branches = [(have, (*before, *terms)) for have, before in branches]
        branches = _services(branches, address, side.services, version, sets)
        if side.ports is not None:
            branches = _ports(branches, address, side.ports, version, sets)
        if side.not_ports is not None:
            branches = _not_ports(branches, address, side.not_ports, version, sets)
    if rule.icmp is not None:
        branches = _icmp(branches, rule.icmp)
    if rule.not_icmp is not None:
        branches = _not_icmp(branches, rule.not_icmp)
    family = "" if version is None else f"meta nfproto ipv{version}"
    return [
        " ".join(filter(None, (family, have.text(sets), *terms)))
        for have, terms in branches
        if not have.impossible()
    ]


def _address_terms(address: str, side: Side, version: int, sets: Sets) -> tuple[str, ...] | None:
    """What must hold of one end's address; None when none of this IP version can match."""
    field = f"{_IP[version]} {address}"
    terms = []
    if side.nets is not None:
        nets = _of_version(side.nets, version)
        if not nets:
            return None
        terms.append(_network_term(field, "", nets, version, sets))
    nets = _of_version(side.not_nets, version)
    if nets:
        terms.append(_network_term(field, "!= ", nets, version, sets))
    terms += [f"{field} @{sets.addresses(name, version)}" for name in side.sets]
    terms += [f"{field} != @{sets.addresses(name, version)}" for name in side.not_sets]
    return tuple(terms)


def _of_version(nets: Iterable[str], version: int) -> list[str]:
    parsed = (ip_network(net, strict=False) for net in nets)
    return sorted(str(net) for net in parsed if net.version == version)


def _network_term(field: str, sign: str, nets: list[str], version: int, sets: Sets) -> str:
    if len(nets) == 1:
        return f"{field} {sign}{nets[0]}"
    return f"{field} {sign}@{sets.networks(nets, version)}"


def _triple(address: str, version: int | None) -> str:
    if version is None:
        raise ValueError("a set of (address, protocol, port) needs an IP version")
    return f"{_IP[version]} {address} . meta l4proto . th {_PORT[address]}"


def _services(
    branches: list[_Branch], address: str, names: Sequence[str], version: int | None, sets: Sets
) -> list[_Branch]:
    if not names or version is None:
        return branches
    field = _triple(address, version)
    return [
        (have.among(PORTED), (*terms, f"{field} @{sets.services(name, version)}"))
        for have, terms in branches
        for name in names
    ]


def _range(ports: Ports, sets: Sets) -> str:
    if len(ports.ranges) > 1:
        return f"@{sets.ports(ports.ranges)}"
    only = ports.ranges[0]
    return str(only.first) if only.first == only.last else f"{only.first}-{only.last}"


def _ports(
    branches: list[_Branch], address: str, ports: Ports, version: int | None, sets: Sets
) -> list[_Branch]:
    alternatives = [f"th {_PORT[address]} {_range(ports, sets)}"] if ports.ranges else []
    alternatives += [
        f"{_triple(address, version)} @{sets.services(name, version)}"
        for name in ports.named
        if version is not None
    ]
    return [(have.among(PORTED), (*terms, term)) for have, terms in branches for term in alternatives]


def _not_ports(
    branches: list[_Branch], address: str, ports: Ports, version: int | None, sets: Sets
) -> list[_Branch]:
    """None of the ports; what has no ports has none of them."""
    refused = [f"th {_PORT[address]} != {_range(ports, sets)}"] if ports.ranges else []
    refused += [
        f"{_triple(address, version)} != @{sets.services(name, version)}"
        for name in ports.named
        if version is not None
    ]
    return [
        branch
        for have, terms in branches
        for branch in (
            (have.among(PORTED), (*terms, *refused)),
            (have.without(PORTED), terms),
        )
    ]


def _icmp(branches: list[_Branch], icmp: Icmp) -> list[_Branch]:
    terms = []
    if icmp.type is not None:
        terms.append(f"@th,0,8 {icmp.type}")
    if icmp.code is not None:
        terms.append(f"@th,8,8 {icmp.code}")
    return [(have.among(ICMP), (*before, *terms)) for have, before in branches]


def _not_icmp(branches: list[_Branch], icmp: Icmp) -> list[_Branch]:
    """Not this type and code; what is not ICMP is not."""
    found = []
    for have, terms in branches:
        found.append((have.without(ICMP), terms))
        if icmp.type is not None:
            found.append((have.among(ICMP), (*terms, f"@th,0,8 != {icmp.type}")))
        if icmp.code is not None:
            term = f"@th,8,8 != {icmp.code}"
            same = (f"@th,0,8 {icmp.type}",) if icmp.type is not None else ()
            found.append((have.among(ICMP), (*terms, *same, term)))
    return found
