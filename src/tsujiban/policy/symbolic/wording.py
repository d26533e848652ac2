"""Traffic in words: protocols, port ranges, and requests as methods, paths and hosts.

The words say exactly what the set holds. Requests that every policy refuses (a path that can be
read in two ways, a token of nobody's) are not mentioned again and again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tsujiban.policy.program import Frozen
from tsujiban.policy.symbolic.cover import describe
from tsujiban.policy.symbolic.matching import SourcePorts
from tsujiban.policy.symbolic.requests import AMBIGUOUS, Attribute, Vocabulary
from tsujiban.policy.symbolic.traffic import CODES, OTHER, PORTS, Axis, Traffic, canonical, subtract
from tsujiban.resources import protocols

ANY_PORTS = "0-65535"
REST = "other protocols"


class Requests(Frozen, frozen=True, rename="camel"):
    """A set of requests: by attribute, the terms of which one must hold. None: any request."""

    http: bool = True  # False: connections that are not HTTP
    clauses: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    def __str__(self) -> str:
        words = [] if self.http else ["not HTTP"]
        for name, terms in self.clauses.items():
            text = ",".join(terms) if name == "method" else " or ".join(terms)
            words.append(text if name in ("method", "path") else f"{name} {text}")
        return " ".join(words) or "HTTP"


class Allowed(Frozen, frozen=True, rename="camel"):
    """Some ports of one protocol, and which requests on them. No `requests`: all, also what is not HTTP."""

    protocol: str  # TCP, UDP, SCTP, ICMP, ICMPv6, a number, or "other protocols"
    ports: tuple[str, ...] = ()  # "80", "8000-8080"; of ICMP "8", "3/1"; () is all
    requests: tuple[Requests, ...] = ()
    source_ports: tuple[str, ...] = ()  # () is all

    def __str__(self) -> str:
        icmp = self.protocol.startswith("ICMP")
        text = self.protocol
        if self.ports:
            text += f"{' type' if icmp else ''} {', '.join(self.ports)}"
        if self.source_ports:
            text += f" from port {', '.join(self.source_ports)}"
        if self.requests:
            text += f" [{'; '.join(map(str, self.requests))}]"
        return text


def summary(allowed: Sequence[Allowed], everything: bool = False) -> str:
    """One line for people."""
    if everything:
        return "all"
    return "; ".join(map(str, allowed)) or "nothing"


class Wording:
    """Puts traffic into words."""

    def __init__(self, axis: Axis, source_ports: SourcePorts) -> None:
        self._axis, self._source_ports = axis, source_ports
        self._known: dict[tuple[int, int], tuple[tuple[tuple[str, ...], tuple[Requests, ...]], ...]] = {}

    def allowed(self, traffic: Traffic, vocabulary: Vocabulary) -> tuple[Allowed, ...]:
        """The parts of a set, by protocol."""
        full = self._full(vocabulary)
        traffic = self._rounded(traffic, vocabulary)
        rows: dict[int, dict[int, list[tuple[int, int]]]] = {}
        for protocol, first, last, bits in self._axis.split(traffic):
            rows.setdefault(protocol, defaultdict(list))[bits].append((first, last))
        found = []
        for protocol, groups in rows.items():
            low, high = self._axis.row(protocol)
            for bits, spans in groups.items():
                ports = () if spans == [(0, high - low)] else tuple(_ports(protocol, spans))
                parts: Iterable[tuple[tuple[str, ...], tuple[Requests, ...]]] = [((), ())]
                if bits != full:
                    parts = self._parts(bits, vocabulary)
                name = REST if protocol == OTHER else protocols.name(protocol)
                for source_ports, requests in parts:
                    found.append(
                        Allowed(protocol=name, ports=ports, requests=requests, source_ports=source_ports)
                    )
        return tuple(found)

    def text(self, traffic: Traffic, vocabulary: Vocabulary) -> str:
        """The whole set in one line; what is missing, where that is shorter."""
        everything = self._axis.all(self._full(vocabulary))
        traffic = self._rounded(traffic, vocabulary)
        if traffic == everything:
            return "all"
        words = summary(self.allowed(traffic, vocabulary))
        if traffic and self._axis.row(OTHER)[0] in range(traffic[-1][0], traffic[-1][1] + 1):
            rest = self.allowed(subtract(everything, traffic), vocabulary)
            if not any(part.requests for part in rest):
                return min(words, f"all except {summary(rest)}", key=len)
        return words

    def _full(self, vocabulary: Vocabulary) -> int:
        return (1 << (len(vocabulary.atoms) * len(self._source_ports.starts))) - 1

    def _rounded(self, traffic: Traffic, vocabulary: Vocabulary) -> Traffic:
        """With the classes that are not worth words added wherever others are."""
        if not vocabulary.aware:
            return traffic
        width = len(vocabulary.atoms)
        cared = _worth(vocabulary)
        blocks = [width * at for at in range(len(self._source_ports.starts))]
        found = []
        for first, last, bits in traffic:
            for at in blocks:
                if bits >> at & cared:
                    bits |= (vocabulary.all & ~cared) << at
            found.append((first, last, bits))
        return canonical(found)

    def _parts(
        self, bits: int, vocabulary: Vocabulary
    ) -> tuple[tuple[tuple[str, ...], tuple[Requests, ...]], ...]:
        key = (id(vocabulary), bits)
        if key not in self._known:
            width = len(vocabulary.atoms)
            groups: dict[int, list[tuple[int, int]]] = defaultdict(list)
            starts = self._source_ports.starts
            for at, start in enumerate(starts):
                if part := bits >> at * width & vocabulary.all:
                    after = starts[at + 1] if at + 1 < len(starts) else PORTS
                    spans = groups[part]
                    if spans and spans[-1][1] + 1 == start:
                        spans[-1] = (spans[-1][0], after - 1)
                    else:
                        spans.append((start, after - 1))
            self._known[key] = tuple(
                (
                    () if spans == [(0, PORTS - 1)] else tuple(map(_range, spans)),
                    requests_of(part, vocabulary),
                )
                for part, spans in groups.items()
            )
        return self._known[key]


def requests_of(bits: int, vocabulary: Vocabulary) -> tuple[Requests, ...]:
    """Classes of requests as sets that people can read. Nothing: all of them."""
    if bits == vocabulary.all:
        return ()
    if not bits & _worth(vocabulary):
        return (Requests(clauses={"path": ("ambiguous",)}),)
    names = len(vocabulary.sni.values)
    size = (len(vocabulary.atoms) - names) // names
    groups: dict[tuple[bool, int], int] = defaultdict(int)
    for at in range(names):
        requests = bits >> (names + at * size) & ((1 << size) - 1)
        groups[bool(bits >> at & 1), _cared(requests, vocabulary.attributes)] |= 1 << at
    found: list[Requests] = []
    whole = _cared((1 << size) - 1, vocabulary.attributes)
    for (plain, requests), mask in groups.items():
        sni: dict[str, tuple[str, ...]] = {}
        if mask != vocabulary.plain:
            sni["sni"] = tuple(map(str, describe(mask, vocabulary.sni.patterns, vocabulary.plain)))
        if plain and requests == whole:
            if sni:
                found += [Requests(http=False, clauses=sni), Requests(clauses=sni)]
            continue
        if plain:
            found.append(Requests(http=False, clauses=sni))
        for clauses in _boxes(requests, vocabulary.attributes):
            found.append(Requests(clauses={**sni, **clauses}))
    return tuple(found)


def _worth(vocabulary: Vocabulary) -> int:
    """The classes of a vocabulary that are worth words."""
    names = len(vocabulary.sni.values)
    if not vocabulary.aware:
        return vocabulary.all
    size = (len(vocabulary.atoms) - names) // names
    whole = _cared((1 << size) - 1, vocabulary.attributes)
    return vocabulary.plain | sum(whole << (names + at * size) for at in range(names))


def _boxes(bits: int, attributes: Sequence[Attribute]) -> Iterator[dict[str, tuple[str, ...]]]:
    """Disjoint products of terms, attribute by attribute."""
    if not bits:
        return
    if not attributes:
        yield {}
        return
    first, rest = attributes[0], attributes[1:]
    size = 1
    for attribute in rest:
        size *= len(attribute.values)
    groups: dict[int, int] = defaultdict(int)
    universe = _care(first)
    for at in range(len(first.values)):
        if universe >> at & 1 and (part := bits >> at * size & ((1 << size) - 1)):
            groups[part] |= 1 << at
    for part, mask in groups.items():
        clause: dict[str, tuple[str, ...]] = {}
        if mask != universe:
            clause[first.name] = tuple(map(str, describe(mask, first.patterns, universe)))
        for clauses in _boxes(part, rest):
            yield {**clause, **clauses}


def _care(attribute: Attribute) -> int:
    """The classes that are worth words: not those that are refused whatever the rules say."""
    found = (1 << len(attribute.values)) - 1
    if attribute.name == "path":
        found &= ~(1 << attribute.values.index(AMBIGUOUS))
    elif attribute.name == "token" and len(attribute.values) > 1:
        found &= ~2
    return found


def _cared(bits: int, attributes: Sequence[Attribute]) -> int:
    """The same requests without the classes that are not worth words."""
    size = 1
    mask = 1
    for attribute in reversed(attributes):
        inner, mask = mask, 0
        for at in range(len(attribute.values)):
            if _care(attribute) >> at & 1:
                mask |= inner << at * size
        size *= len(attribute.values)
    return bits & mask


def _ports(protocol: int, spans: Iterable[tuple[int, int]]) -> Iterator[str]:
    for first, last in spans:
        if protocol not in (protocols.ICMP, protocols.ICMPV6):
            yield _range((first, last))
            continue
        while first <= last:
            kind, code = divmod(first, CODES)
            end = kind * CODES + CODES - 1
            if code == 0 and last >= end:
                kinds = (last + 1) // CODES - 1
                yield _range((kind, kinds))
                first = kinds * CODES + CODES
            else:
                stop = min(last, end)
                yield f"{kind}/{_range((code, stop % CODES))}"
                first = stop + 1


def _range(span: tuple[int, int]) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"
