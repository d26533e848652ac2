"""What may connect to what, exactly: every pair of workloads, and the world outside.

The answer is computed over sets (`policy.symbolic`), not by trying flows: ports are ranges,
requests are sets of methods and paths, addresses outside are CIDRs. Every point of it agrees with
`policy.evaluate` for a source that presents its own identity (property-tested).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import msgspec

from tsujiban.policy.offline import OfflineWorld, UnknownName
from tsujiban.policy.program import Frozen
from tsujiban.policy.symbolic.analysis import Analysis
from tsujiban.policy.symbolic.inhabitants import Entity, Outside, cidrs, entities, regions_of, spots_of
from tsujiban.policy.symbolic.parties import Party, on_one_host
from tsujiban.policy.symbolic.requests import Clauses, Vocabulary
from tsujiban.policy.symbolic.traffic import Traffic, canonical, intersect
from tsujiban.policy.symbolic.wording import Allowed, Wording
from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.load import LoadedObject

SHOWN = 3
"""Most members that a group's name lists."""


@cache
def _open() -> Vocabulary:
    """The vocabulary of a destination whose policies do not look at requests."""
    return Vocabulary(Clauses(), Clauses())


class Group(Frozen, frozen=True, rename="camel"):
    """Workloads, or networks outside, that may do and receive the same."""

    name: str
    workloads: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()  # in the words of the policies
    cidrs: tuple[str, ...] = ()  # the same, exactly; addresses of workloads inside them do not count


class Connection(Frozen, frozen=True, rename="camel"):
    """What may flow from one group's members to another's."""

    source: str  # Group.name
    destination: str  # Group.name
    summary: str
    allowed: tuple[Allowed, ...]


class Exposure(Frozen, frozen=True, rename="camel"):
    """How far one group's members are reachable (or reach, `direction` egress)."""

    group: str
    direction: str  # ingress, egress
    cluster: str = ""  # what every other workload may send; "" is nothing
    outside: dict[str, str] = msgspec.field(default_factory=dict)  # by networks: what they may send


class Connectivity(Frozen, frozen=True, rename="camel"):
    """The whole answer."""

    groups: tuple[Group, ...]
    connections: tuple[Connection, ...]
    exposure: tuple[Exposure, ...] = ()


def analyse(
    objects: Iterable[LoadedObject | Object],
    *,
    focus: Sequence[str] = (),
    exposure: bool = False,
    trust_domain: str = "cluster.local",
    strict: bool = False,
) -> Connectivity:
    """The connections that a set of objects allows.

    `focus` keeps the connections of some workloads (`namespace/name`, or `name` in any namespace).
    `strict` refuses plaintext where no PeerAuthentication accepts it.

    Raises UnknownName for a focus that nothing is called, TooManyDistinctions (a ValueError) for
    policies that tell apart more than can be counted.
    """
    builder = _Builder(OfflineWorld(objects, trust_domain=trust_domain, strict=strict), focus)
    return builder.build(exposure=exposure)


class _Kind(NamedTuple):
    """Entities of the same parties."""

    parties: tuple[Party, ...]
    entities: list[Entity]

    @property
    def outside(self) -> bool:
        return not self.entities[0].name

    @property
    def several(self) -> bool:
        return len(self.entities) > 1 or self.entities[0].several


class Flowing(NamedTuple):
    """Something that may flow: the traffic, and the note that it is about one IP version."""

    note: str
    traffic: Traffic
    vocabulary: Vocabulary


Cell = tuple[Flowing, ...]
"""What may flow between two entities: one answer, or one for each IP version."""


class Cells:
    """What may flow between entities, whichever IP versions they have. Equal answers are one object."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._known: dict[Cell, Cell] = {}
        self._halves: dict[tuple[int, int, int], Cell] = {}

    def row(self, sources: Sequence[Party], destinations: Iterable[Sequence[Party]]) -> list[Cell]:
        """What may flow from one entity to each of others."""
        if len(sources) > 1:
            return [self.between(sources, others) for others in destinations]
        (source,) = sources
        single, between = self._single, self.between
        return [
            single(source, others[0]) if len(others) == 1 else between(sources, others)
            for others in destinations
        ]

    def between(self, sources: Sequence[Party], destinations: Sequence[Party]) -> Cell:
        """One answer for all IP versions when they agree, else one for each."""
        if len(sources) == 1 and len(destinations) == 1:
            return self._single(sources[0], destinations[0])
        found = [
            (one.version or other.version, self._single(one, other))
            for one in sources
            for other in destinations
            if one.meets(other)
        ]
        if len({id(cell) for _, cell in found}) <= 1:
            return found[0][1] if found else ()
        noted = tuple(f._replace(note=f"IPv{v}" if v else "") for v, cell in found for f in cell)
        return self._known.setdefault(noted, noted)

    def _single(self, source: Party, destination: Party) -> Cell:
        if (source.endpoint is None and destination.endpoint is None) or on_one_host(source, destination):
            return ()
        out, into = self._analysis.halves(source, destination)
        if not out or not into:
            return ()
        vocabulary = self._analysis.vocabulary(destination)
        key = (id(out), id(into), id(vocabulary))
        cell = self._halves.get(key)
        if cell is None:
            traffic = self._analysis.between(source, destination)
            cell = (Flowing("", traffic, vocabulary),) if traffic else ()
            cell = self._halves[key] = self._known.setdefault(cell, cell)
        return cell


class _Builder:
    def __init__(self, world: OfflineWorld, focus: Sequence[str]) -> None:
        self._analysis = Analysis(world.world, spots_of(world))
        row = Cells(self._analysis).row
        self._wording = Wording(self._analysis.axis, self._analysis.source_ports)
        distinctions = self._analysis.distinctions
        self._outside = Outside(self._analysis.parties, distinctions.nets | distinctions.bounds)
        self._beyonds: dict[frozenset[int], Group] = {}
        everybody = entities(world, self._analysis.parties)
        self._focused = _focused(everybody, focus)
        kinds: dict[tuple[tuple[int, ...], bool], _Kind] = {}
        for entity in everybody:
            key = tuple(p.index for p in entity.parties), entity.name in self._focused
            kinds.setdefault(key, _Kind(entity.parties, [])).entities.append(entity)
        self._kinds = list(kinds.values())
        parties = [kind.parties for kind in self._kinds]
        self._matrix = [row(own, parties) for own in parties]

    def build(self, *, exposure: bool) -> Connectivity:
        merged = self._merged()
        names: set[str] = set()
        groups = [self._group(members, names) for members in merged]
        found: list[Connection] = []
        for source, members in zip(groups, merged, strict=True):
            for destination, others in zip(groups, merged, strict=True):
                if self._wanted(members, others):
                    found += self._rows(source, destination, self._cell(members, others))
            if self._wanted(members):
                for destination, cell in self._beyond(self._matrix[members[0]]):
                    found += self._rows(source, destination, cell)
        for destination, members in zip(groups, merged, strict=True):
            if self._wanted(members):
                for source, cell in self._beyond([row[members[0]] for row in self._matrix]):
                    found += self._rows(source, destination, cell)
        exposed = tuple(self._exposures(merged, groups)) if exposure else ()
        everybody = (*groups, *self._beyonds.values())
        return Connectivity(groups=everybody, connections=tuple(found), exposure=exposed)

    # ------------------------------------------------------------------ groups

    def _merged(self) -> list[list[int]]:
        """Kinds of workloads by what they may do and receive."""
        table = [[id(cell) for cell in row] for row in self._matrix]
        columns = list(zip(*table, strict=True))
        groups: dict[object, list[int]] = defaultdict(list)
        for at, kind in enumerate(self._kinds):
            if not kind.outside:
                focus = kind.entities[0].name in self._focused
                groups[focus, tuple(table[at]), columns[at]].append(at)
        return list(groups.values())

    def _group(self, members: Sequence[int], taken: set[str]) -> Group:
        workloads = tuple(sorted(e.name for at in members for e in self._kinds[at].entities))
        name = _short(workloads)
        while name in taken:
            name += "'"
        taken.add(name)
        return Group(name=name, workloads=workloads)

    def _beyond(self, cells: Sequence[Cell]) -> Iterator[tuple[Group, Cell]]:
        """The networks outside, by what flows between them and one end."""
        groups: dict[int, tuple[list[Party], Cell]] = {}
        for kind, cell in zip(self._kinds, cells, strict=True):
            if kind.outside and cell:
                groups.setdefault(id(cell), ([], cell))[0].extend(kind.parties)
        for parties, cell in groups.values():
            known = frozenset(p.index for p in parties)
            if known not in self._beyonds:
                nets = self._outside.words(regions_of(parties, self._analysis.parties))
                self._beyonds[known] = Group(name=", ".join(nets), networks=nets, cidrs=cidrs(parties))
            yield self._beyonds[known], cell

    # ------------------------------------------------------------------ connections

    def _wanted(self, *sides: Sequence[int]) -> bool:
        """Whether a connection is in focus."""
        return not self._focused or any(
            self._kinds[at].entities[0].name in self._focused for members in sides for at in members
        )

    def _cell(self, members: Sequence[int], others: Sequence[int]) -> Cell:
        """What flows between any member of one group and any other of another."""
        at, to = members[0], others[0]
        if at == to and not self._kinds[at].several:
            if len(members) == 1:
                return ()  # one pod alone, with itself
            to = members[1]
        return self._matrix[at][to]

    def _rows(self, source: Group, destination: Group, cell: Cell) -> Iterator[Connection]:
        for flowing in cell:
            yield Connection(
                source=source.name,
                destination=destination.name,
                summary=self._text(flowing),
                allowed=self._wording.allowed(flowing.traffic, flowing.vocabulary),
            )

    # ------------------------------------------------------------------ exposure

    def _exposures(self, merged: Sequence[Sequence[int]], groups: Sequence[Group]) -> Iterator[Exposure]:
        for group, members in zip(groups, merged, strict=True):
            if not self._wanted(members):
                continue
            own = members[0]
            for direction, cells in (
                ("ingress", [row[own] for row in self._matrix]),
                ("egress", self._matrix[own]),
            ):
                yield Exposure(
                    group=group.name,
                    direction=direction,
                    cluster=self._cluster(own, cells, ingress=direction == "ingress"),
                    outside={
                        other.name: "; ".join(map(self._text, cell)) for other, cell in self._beyond(cells)
                    },
                )

    def _text(self, flowing: Flowing) -> str:
        words = self._wording.text(flowing.traffic, flowing.vocabulary)
        return f"{words} ({flowing.note})" if flowing.note else words

    def _cluster(self, own: int, cells: Sequence[Cell], *, ingress: bool) -> str:
        """What is common to every other workload."""
        common: Traffic | None = None
        for at, cell in enumerate(cells):
            kind = self._kinds[at]
            if kind.outside or (at == own and not kind.several) or self._on_one_host(at, own):
                continue
            if len(cell) != 1:
                return ""
            traffic = cell[0].traffic
            if not ingress:
                traffic = self._open(cell[0])
            common = traffic if common is None else intersect(common, traffic)
        if not common:
            return ""
        vocabulary = self._analysis.vocabulary(self._kinds[own].parties[0]) if ingress else _open()
        return self._wording.text(common, vocabulary)

    def _on_one_host(self, at: int, other: int) -> bool:
        return on_one_host(self._kinds[at].parties[0], self._kinds[other].parties[0])

    def _open(self, flowing: Flowing) -> Traffic:
        """The traffic of which every request is allowed, without classes of requests."""
        width = len(flowing.vocabulary.atoms)
        full = self._analysis.matching.full(width)
        open_full = self._analysis.matching.full(1)
        return canonical((first, last, open_full) for first, last, bits in flowing.traffic if bits == full)


def _focused(everybody: Iterable[Entity], focus: Sequence[str]) -> frozenset[str]:
    """The names of the entities in focus."""
    found: set[str] = set()
    known: set[str] = set()
    wanted = set(focus)
    for entity in everybody:
        for name in entity.names:
            short = name.partition("/")[2]
            known |= {name, short}
            if name in wanted or short in wanted:
                found.add(entity.name)
    for name in focus:
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, n=3)
            hint = f": did you mean {' or '.join(near)}?" if near else ""
            raise UnknownName(f"no workload is called {name!r}{hint}")
    return frozenset(found)


def _short(names: Sequence[str]) -> str:
    if len(names) <= SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[: SHOWN - 1])} and {len(names) - SHOWN + 1} more"
