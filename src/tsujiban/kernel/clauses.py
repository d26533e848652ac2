"""One rule's clauses as nftables matches.

A rule is a conjunction of clauses whose members are alternatives; an nftables rule is a
conjunction only. So a rule becomes as many matches as its alternatives need, usually one for
each IP version. Negations that would read a header that is not there (ports of an ICMP packet)
are split by protocol, so that they mean what they say instead of comparing other bytes.

Raw expressions (`@th,0,8`) stand for ICMP fields because nft refuses the named ones beside an
address of the other IP version. Anonymous sets are avoided: they cost superlinearly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Protocol

from tsujiban.policy.program import Action, Icmp, PortRange, Ports, Rule, Side

PORTED = frozenset({6, 17, 33, 132, 136})  # TCP, UDP, DCCP, SCTP, UDP-Lite: ports come first in the header
ICMP = frozenset({1, 58})
_IP = {4: "ip", 6: "ip6"}
_PORT = {"saddr": "sport", "daddr": "dport"}


class Sets(Protocol):
    """Where the names of nftables sets come from; asking for one makes it part of the table."""

    def addresses(self, set_id: str, version: int) -> str | None:
        """Members of an AddressSet; None when the state does not hold it."""
        ...

    def services(self, set_id: str, version: int) -> str | None:
        """Members of a ServiceSet; None when the state does not hold it."""
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
_Limit = Callable[[_Protocols], _Protocols]


def _any(have: _Protocols) -> _Protocols:
    return have


def _ported(have: _Protocols) -> _Protocols:
    return have.among(PORTED)


def _no_icmp(have: _Protocols) -> _Protocols:
    return have.without(ICMP)


def matches(rule: Rule, sets: Sets, missing: Callable[[Rule, str], None]) -> tuple[str, ...]:
    """The nftables matches that together match what `rule` matches at layers 3 and 4.

    "" matches every packet; () means that no packet can match. The HTTP clause is not looked at.
    `missing` is told of sets that are not there: their clauses fail, and in a Deny are satisfied.
    """
    if rule.ip_version is None and not _about_addresses(rule):
        return tuple(_Matcher(rule, 4, sets, missing).texts())
    return tuple(
        f"meta nfproto ipv{version} {text}".rstrip()
        for version in ((rule.ip_version,) if rule.ip_version else (4, 6))
        for text in _Matcher(rule, version, sets, missing).texts()
    )


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


class _Matcher:
    """One rule as packets of one IP version see it."""

    def __init__(self, rule: Rule, version: int, sets: Sets, missing: Callable[[Rule, str], None]) -> None:
        self._rule = rule
        self._version = version
        self._sets = sets
        self._missing = missing
        self._closing = rule.action is Action.DENY

    def texts(self) -> list[str]:
        """The matches."""
        rule = self._rule
        protocols = _Protocols(frozenset(rule.protocols), bool(rule.protocols))
        branches: list[_Branch] = [(protocols.without(frozenset(rule.not_protocols)), ())]
        for address, side in (("saddr", rule.src), ("daddr", rule.dst)):
            branches = self._side(branches, address, side)
        if rule.icmp is not None:
            branches = _icmp(branches, rule.icmp)
        if rule.not_icmp is not None:
            branches = _not_icmp(branches, rule.not_icmp)
        return [
            " ".join(filter(None, (have.text(self._sets), *terms)))
            for have, terms in branches
            if not have.impossible()
        ]

    def _side(self, branches: list[_Branch], address: str, side: Side) -> list[_Branch]:
        terms = self._addresses(address, side)
        if terms is None:
            return []
        branches = [(have, (*before, *terms)) for have, before in branches]
        if side.services:
            branches = _either(branches, self._triples(address, side.services, _any))
        if side.ports is not None:
            ranges = (
                [(_ported, f"th {_PORT[address]} {self._range(side.ports)}")] if side.ports.ranges else []
            )
            branches = _either(branches, [*ranges, *self._triples(address, side.ports.named, _no_icmp)])
        if side.not_ports is not None:
            branches = self._not_ports(branches, address, side.not_ports)
        return branches

    def _addresses(self, address: str, side: Side) -> tuple[str, ...] | None:
        """What must hold of one end's address; None when none of this IP version can match."""
        field = f"{_IP[self._version]} {address}"
        terms = []
        nets = _of_version(side.nets or (), self._version)
        if side.nets is not None:
            if not nets:
                return None
            terms.append(self._nets(field, "", nets))
        nets = _of_version(side.not_nets, self._version)
        if nets:
            terms.append(self._nets(field, "!= ", nets))
        for sign, names in (("", side.sets), ("!= ", side.not_sets)):
            for set_id in names:
                known = self._sets.addresses(set_id, self._version)
                if known is not None:
                    terms.append(f"{field} {sign}@{known}")
                elif not self._lacks(set_id):
                    return None
        return tuple(terms)

    def _lacks(self, set_id: str) -> bool:
        """Report a missing set; whether a clause that needs it is satisfied."""
        self._missing(self._rule, set_id)
        return self._closing

    def _nets(self, field: str, sign: str, nets: list[str]) -> str:
        name = nets[0] if len(nets) == 1 else f"@{self._sets.networks(nets, self._version)}"
        return f"{field} {sign}{name}"

    def _range(self, ports: Ports) -> str:
        if len(ports.ranges) > 1:
            return f"@{self._sets.ports(ports.ranges)}"
        only = ports.ranges[0]
        return str(only.first) if only.first == only.last else f"{only.first}-{only.last}"

    def _triples(self, address: str, names: Sequence[str], lacking: _Limit) -> list[tuple[_Limit, str]]:
        """Alternatives: (address, protocol, port) in one of the sets."""
        found: list[tuple[_Limit, str]] = []
        for set_id in names:
            known = self._sets.services(set_id, self._version)
            if known is not None:
                found.append((_ported, f"{_triple(address, self._version)} @{known}"))
            elif self._lacks(set_id):
                found.append((lacking, ""))
        return found

    def _not_ports(self, branches: list[_Branch], address: str, ports: Ports) -> list[_Branch]:
        """None of the ports; what has no ports has none of them."""
        refused = [f"th {_PORT[address]} != {self._range(ports)}"] if ports.ranges else []
        undecidable = False
        for set_id in ports.named:
            known = self._sets.services(set_id, self._version)
            if known is not None:
                refused.append(f"{_triple(address, self._version)} != @{known}")
            else:
                undecidable |= not self._lacks(set_id)
        found: list[_Branch] = []
        for have, terms in branches:
            if undecidable:
                found.append((have.among(ICMP), terms))
            else:
                found += [(have.among(PORTED), (*terms, *refused)), (have.without(PORTED), terms)]
        return found


def _either(branches: list[_Branch], alternatives: Sequence[tuple[_Limit, str]]) -> list[_Branch]:
    """Every branch with every alternative, within the protocols that the alternative is about."""
    return [(limit(have), (*terms, term)) for have, terms in branches for limit, term in alternatives]


def _of_version(nets: Iterable[str], version: int) -> list[str]:
    parsed = (ip_network(net, strict=False) for net in nets)
    return sorted(str(net) for net in parsed if net.version == version)


def _triple(address: str, version: int) -> str:
    return f"{_IP[version]} {address} . meta l4proto . th {_PORT[address]}"


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
