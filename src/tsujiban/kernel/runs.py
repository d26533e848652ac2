"""Rules that one lookup decides: runs of simple rules as a verdict map.

Most rules ask for a peer out of some addresses, and perhaps for some ports. A run of those, in
one policy or across policies that follow each other in a tier, becomes one map

    peer address [ . protocol . port ]  →  goto verdict of the first rule that matches

so that a packet meets one lookup however many rules there are. Each key's verdict is that of the
first rule in order, so ids, counters and logs are those that the list would give. What a key
cannot say (networks, ranges of many ports, negations, named ports, Pass, Log) is no part of a
run, and ends it.

Elements follow changes of sets by their difference: one member more is one element for each port.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from tsujiban.kernel.clauses import PORTED
from tsujiban.kernel.elements import VERSIONS, Elements, Own, canonical
from tsujiban.policy.program import Action, Direction, Ports, Rule, Side
from tsujiban.policy.versions import Versioned, difference

LEAST_RULES = 8  # of one policy: fewer are as fast in a list
# Policies of one tier. A policy's own chain is shared by all who see it, a tier's run is not: it pays
# where the list would be long.
LEAST_POLICIES = 32
_MOST_PORTS = 8
_MOST_ELEMENTS = 4096  # of one rule: a larger set stays a set, looked up for itself

T = TypeVar("T")
_NOBODY: Elements = {}


@dataclass(frozen=True)
class Simple:
    """A rule that a map can hold: its peers, and the protocols and ports that complete a key."""

    rule: Rule
    peers: str | tuple[str, ...]  # the id of an AddressSet, or single addresses
    suffixes: tuple[str, ...]  # " . 6 . 80"; ("",) when every protocol and port matches

    @property
    def ported(self) -> bool:
        """Whether its keys name ports: only rules of one kind share a map."""
        return self.suffixes != ("",)

    @property
    def words(self) -> tuple[str, ...]:
        """What tells it from others: rules of one id may stand in several runs of one policy."""
        peers = (self.peers,) if isinstance(self.peers, str) else ("of", *self.peers)
        version = str(self.rule.ip_version or "")
        return (self.rule.action, self.rule.id, version, *peers, *self.suffixes)

    def fits(self, addresses: int) -> bool:
        """Whether its elements are few enough to be written out, with so many peers."""
        return addresses * len(self.suffixes) <= _MOST_ELEMENTS

    def addresses(self, version: int, members: Elements | None) -> Elements:
        """Its peers of one IP version; `members` are those of its set."""
        if self.rule.ip_version not in (None, version):
            return _NOBODY
        if members is not None:
            return members
        return self._constant[version]

    @cached_property
    def _constant(self) -> dict[int, Elements]:
        return {v: {a: "" for a in self.peers if (":" in a) == (v == 6)} for v in VERSIONS}


def simple(rule: Rule, direction: Direction) -> Simple | None:
    """`rule` as one that a map can hold, whatever its set holds; None when it is not."""
    if rule.action not in (Action.ALLOW, Action.DENY) or rule.http or rule.icmp or rule.not_icmp:
        return None
    if rule.not_protocols or not set(rule.protocols) <= PORTED:
        return None
    peer, other = (rule.src, rule.dst) if direction is Direction.INGRESS else (rule.dst, rule.src)
    if rule.src.ports or rule.src.not_ports or rule.dst.not_ports:
        return None
    if _has_addresses(other) or peer.not_nets or peer.not_sets or rule.src.services or rule.dst.services:
        return None
    suffixes = _suffixes(rule.protocols, rule.dst.ports)
    peers = _peers(peer)
    return Simple(rule, peers, suffixes) if suffixes and peers is not None else None


def _has_addresses(side: Side) -> bool:
    return bool(side.nets is not None or side.not_nets or side.sets or side.not_sets)


def _peers(side: Side) -> str | tuple[str, ...] | None:
    if len(side.sets) == 1 and side.nets is None:
        return side.sets[0]
    if side.sets or side.nets is None:
        return None
    hosts = tuple(map(canonical, side.nets))
    return None if any("/" in host for host in hosts) else hosts


def _suffixes(protocols: Sequence[int], ports: Ports | None) -> tuple[str, ...]:
    """What follows the address in keys; () when keys cannot say it."""
    if ports is None:
        return () if protocols else ("",)
    if ports.named or not protocols:
        return ()
    numbers = [
        n for part in ports.ranges for n in range(part.first, min(part.last, part.first + _MOST_PORTS) + 1)
    ]
    if not numbers or len(numbers) > _MOST_PORTS:
        return ()
    found = (f" . {protocol} . {port}" for protocol in protocols for port in numbers)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Entry:
    """One rule of a run, with the addresses of its peers by IP version and what its keys lead to."""

    simple: Simple
    peers: dict[int, Elements]
    verdict: str


class RunElements:
    """The elements of one run's maps, kept up to date by differences."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._rules: dict[int, dict[str, list[int]]] = {}  # numbers of the rules that have a key
        self._elements: dict[int, Own] = {}

    def update(self, entries: list[Entry]) -> None:
        """Take over the rules of the run, in order."""
        before, self._entries = self._entries, entries
        same = len(before) == len(entries) and all(
            old.simple is new.simple and old.verdict == new.verdict
            for old, new in zip(before, entries, strict=True)
        )
        if not same:
            before = []
            self._rules = {version: {} for version in VERSIONS}
            self._elements = {version: Versioned() for version in VERSIONS}
        for version in VERSIONS:
            self._follow(version, before)

    def elements(self, version: int) -> Elements:
        """Elements for one IP version; the same object until they change."""
        return self._elements[version]

    def _follow(self, version: int, before: list[Entry]) -> None:
        rules = self._rules[version]
        touched: dict[str, None] = {}
        for number, entry in enumerate(self._entries):
            old = before[number].peers[version] if before else {}
            new = entry.peers[version]
            if old is new:
                continue
            gone, come = difference(old, new)
            for key in _keys(entry, gone):
                rules[key].remove(number)
                touched[key] = None
            for key in _keys(entry, come):
                insort(rules.setdefault(key, []), number)
                touched[key] = None
        held = self._elements[version]
        gone_keys: list[str] = []
        come_keys: dict[str, str] = {}
        for key in touched:
            found = rules.get(key)
            verdict = self._entries[found[0]].verdict if found else None
            if not found:
                del rules[key]
            if held.get(key) != verdict:
                if key in held:
                    gone_keys.append(key)
                if verdict is not None:
                    come_keys[key] = verdict
        if gone_keys or come_keys:
            self._elements[version] = held.changed(gone_keys, come_keys)


def _keys(entry: Entry, addresses: Elements) -> Iterator[str]:
    for address in addresses:
        for suffix in entry.simple.suffixes:
            yield address + suffix


Grouped = tuple[list[T], list[Simple]]


def split(items: Iterable[tuple[T, Sequence[Simple] | None]], least: int) -> Iterator[Grouped[T]]:
    """Group `items`, each with its rules (None: not all of them are simple), into runs: (items, rules).

    A run has `least` items or more. What is no part of a run long enough comes one by one, without rules.
    """
    group: list[T] = []
    rules: list[Simple] = []
    for item, found in items:
        if found and any(one.ported != (rules or found)[0].ported for one in found):
            yield from _finished(group, rules, least)
            group, rules = [], []
            if any(one.ported != found[0].ported for one in found):
                found = None
        if found is None:
            yield from _finished(group, rules, least)
            group, rules = [], []
            yield [item], []
        else:
            group.append(item)
            rules += found
    yield from _finished(group, rules, least)


def _finished(group: list[T], rules: list[Simple], least: int) -> Iterator[Grouped[T]]:
    if len(group) >= least and rules:
        yield group, rules
    else:
        yield from (([item], []) for item in group)
