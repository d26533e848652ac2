"""What two sets of manifests allow differently: connections added, removed and changed, and why.

Both sides are cut in the same places and compared as sets, so nothing is missed and nothing is
reported that is only written differently. The rules behind a difference are those that
`policy.evaluate` names for witnesses of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import Frozen
from tsujiban.policy.symbolic.analysis import Analysis
from tsujiban.policy.symbolic.blame import Blame, RuleRef
from tsujiban.policy.symbolic.inhabitants import Outside, owners_of, spots_of, stand_for_many
from tsujiban.policy.symbolic.parties import Party, Spot, on_one_host
from tsujiban.policy.symbolic.traffic import NOTHING, Traffic, spread, subtract
from tsujiban.policy.symbolic.witnesses import apart, witnesses
from tsujiban.policy.symbolic.wording import Wording
from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.load import LoadedObject


class What(StrEnum):
    """How a connection differs."""

    ADDED = "added"  # nothing was allowed before
    REMOVED = "removed"  # nothing is allowed now
    CHANGED = "changed"  # something was, and something else is


class Change(Frozen, frozen=True, rename="camel"):
    """One difference, of every pair of these sources and destinations."""

    what: What
    sources: tuple[str, ...]  # workloads, or networks outside
    destinations: tuple[str, ...]
    before: str  # in words; "" for nothing
    after: str
    gained: str  # what is allowed now and was not
    lost: str
    old_rules: tuple[RuleRef, ...]  # that decided the same traffic in the old files
    new_rules: tuple[RuleRef, ...]
    note: str = ""  # "new workload", "workload gone", "IPv6"


class Difference(Frozen, frozen=True, rename="camel"):
    """All differences; false when there is none."""

    changes: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)


def compare(
    old: Iterable[LoadedObject | Object],
    new: Iterable[LoadedObject | Object],
    *,
    trust_domain: str = "cluster.local",
    strict: bool = False,
) -> Difference:
    """How the connections of `new` differ from those of `old`.

    Raises TooManyDistinctions (a ValueError) for policies that tell apart too much to be counted.
    """
    worlds = [OfflineWorld(side, trust_domain=trust_domain, strict=strict) for side in (old, new)]
    return _Comparison(worlds).difference()


class _Unit(NamedTuple):
    """Ends that neither side tells apart: their parties on each side, by IP version."""

    old: tuple[Party, ...]
    new: tuple[Party, ...]


class _Cell(NamedTuple):
    """One difference between two units."""

    what: What
    before: str
    after: str
    gained: str
    lost: str
    old_rules: tuple[RuleRef, ...]
    new_rules: tuple[RuleRef, ...]
    note: str


class _Comparison:
    def __init__(self, worlds: Sequence[OfflineWorld]) -> None:
        spots = [spots_of(world) for world in worlds]
        beside = [(world.world, found) for world, found in zip(worlds, spots, strict=True)]
        self._old, self._new = (Analysis(world, found, beside=beside) for world, found in beside)
        self._blames = [Blame(world) for world in worlds]
        self._wording = Wording(self._new.axis, self._new.source_ports)
        nets = self._new.distinctions.nets | self._new.distinctions.bounds
        self._outside = Outside(self._new.parties, nets)
        self._names: dict[_Unit, list[str]] = defaultdict(list)
        self._regions: dict[_Unit, list[tuple[int, int]]] = defaultdict(list)
        self._several: set[_Unit] = set()
        self._make_units(worlds)

    def _make_units(self, worlds: Sequence[OfflineWorld]) -> None:
        owners: dict[str, str] = {}
        many: set[str] = set()
        for world in worlds:
            owners |= owners_of(world.graph.objects())
            many |= stand_for_many(world)
        sides = [a.parties.by_name() for a in (self._old, self._new)]
        by_owner: dict[str, dict[_Unit, list[str]]] = defaultdict(lambda: defaultdict(list))
        for name in sorted({*sides[0], *sides[1]}):
            for label, unit in _units(name, *(side.get(name, {}) for side in sides)):
                by_owner[owners.get(name, name)][unit].append(label)
                if name in many:
                    self._several.add(unit)
        for owner, units in sorted(by_owner.items()):
            for unit, names in units.items():
                self._names[unit] += [owner] if len(units) == 1 else names
                if len(names) > 1:
                    self._several.add(unit)
        for key in sorted({*self._old.parties.outside} & {*self._new.parties.outside}):
            unit = _Unit((self._old.parties.outside[key],), (self._new.parties.outside[key],))
            self._names.setdefault(unit, [])
            self._regions[unit].append(key)

    # ------------------------------------------------------------------ pairs

    def difference(self) -> Difference:
        """All changes, those with the same story together."""
        by_story: dict[tuple[_Unit, _Cell], list[_Unit]] = defaultdict(list)
        for source in self._names:
            for destination in self._names:
                if source is destination and not self._has_others(source):
                    continue
                for cell in self._cells(source, destination):
                    by_story[source, cell].append(destination)
        merged: dict[tuple[tuple[_Unit, ...], _Cell], list[_Unit]] = defaultdict(list)
        for (source, cell), destinations in by_story.items():
            merged[tuple(destinations), cell].append(source)
        changes = [
            Change(
                what=cell.what,
                sources=self._words(sources),
                destinations=self._words(destinations),
                before=cell.before,
                after=cell.after,
                gained=cell.gained,
                lost=cell.lost,
                old_rules=cell.old_rules,
                new_rules=cell.new_rules,
                note=cell.note,
            )
            for (destinations, cell), sources in merged.items()
        ]
        order = list(What)
        changes.sort(key=lambda c: (order.index(c.what), c.sources, c.destinations, c.note, c.after))
        return Difference(changes=tuple(changes))

    def _has_others(self, unit: _Unit) -> bool:
        return unit in self._several or len(self._names[unit]) > 1

    def _words(self, units: Iterable[_Unit]) -> tuple[str, ...]:
        units = list(units)
        names = sorted(name for unit in units for name in self._names[unit])
        regions = [region for unit in units for region in self._regions.get(unit, ())]
        return (*names, *self._outside.words(regions))

    def _cells(self, source: _Unit, destination: _Unit) -> Iterator[_Cell]:
        """What differs between two units: once for all IP versions where they agree."""
        old = _by_version(self._old, source.old, destination.old)
        new = _by_version(self._new, source.new, destination.new)
        found: dict[tuple[Traffic, Traffic], int] = {}
        inside = _within(source.old, destination.old) | _within(source.new, destination.new)
        versions = sorted({*old, *new} - inside)
        for version in versions:
            before = old[version][0] if version in old else NOTHING
            after = new[version][0] if version in new else NOTHING
            found.setdefault(self._level(before, after, destination), version)
        for (before, after), version in found.items():
            if before != after:
                note = f"IPv{version}" if len(found) > 1 and version else ""
                yield self._cell(source, destination, before, after, old.get(version), new.get(version), note)

    def _level(self, before: Traffic, after: Traffic, destination: _Unit) -> tuple[Traffic, Traffic]:
        """Both in the same classes of requests. Where one side has none, its one class is all."""
        widths = []
        for analysis, parties in ((self._old, destination.old), (self._new, destination.new)):
            widths.append(len(analysis.vocabulary(parties[0]).atoms) if parties else 0)
        most = max(widths)
        return tuple(  # type: ignore[return-value]
            spread(traffic, most) if width == 1 else traffic
            for traffic, width in zip((before, after), widths, strict=True)
        )

    def _cell(
        self,
        source: _Unit,
        destination: _Unit,
        before: Traffic,
        after: Traffic,
        old: _Pair | None,
        new: _Pair | None,
        note: str,
    ) -> _Cell:
        sides = [
            analysis.vocabulary(parties[0])
            for analysis, parties in ((self._old, destination.old), (self._new, destination.new))
            if parties
        ]
        vocabulary = max(sides, key=lambda v: len(v.atoms))
        gained, lost = subtract(after, before), subtract(before, after)
        what = What.CHANGED if before and after else What.ADDED if after else What.REMOVED
        words = [
            self._wording.text(traffic, vocabulary) if traffic else ""
            for traffic in (before, after, gained, lost)
        ]
        rules: list[tuple[RuleRef, ...]] = []
        for analysis, pair, blame in (
            (self._old, old, self._blames[0]),
            (self._new, new, self._blames[1]),
        ):
            seen: dict[RuleRef, None] = {}
            if pair is not None:
                for traffic in (gained, lost):
                    for flow in witnesses(analysis, traffic, vocabulary, *pair[1:]):
                        seen |= dict.fromkeys(blame.rules(flow))
            rules.append(tuple(sorted(seen, key=lambda rule: rule.id)))
        return _Cell(
            what, words[0], words[1], words[2], words[3], rules[0], rules[1], _note(source, destination, note)
        )


_Pair = tuple[Traffic, Spot, Spot]
"""What flows, and ends that it flows between."""


def _by_version(
    analysis: Analysis, sources: Iterable[Party], destinations: Iterable[Party]
) -> dict[int, _Pair]:
    found: dict[int, _Pair] = {}
    destinations = list(destinations)
    for one in sources:
        for other in destinations:
            if one.meets(other) and not (one.endpoint is None and other.endpoint is None):
                here, there = apart(one, other)
                found[one.version or other.version] = (analysis.between(one, other), here, there)
    return found


def _within(sources: Iterable[Party], destinations: Sequence[Party]) -> set[int]:
    """The IP versions in which nothing leaves a host: there, whatever flows, no policy says so."""
    return {
        one.version or other.version
        for one in sources
        for other in destinations
        if one.meets(other) and on_one_host(one, other)
    }


def _units(name: str, old: dict[str, Party], new: dict[str, Party]) -> Iterator[tuple[str, _Unit]]:
    """A name as one unit; or, where policy tells its addresses apart, each address."""
    sides = [tuple(dict.fromkeys(side.values())) for side in (old, new)]
    if all(len({p.version for p in side}) == len(side) for side in sides):
        yield name, _Unit(*sides)
        return
    for address in sorted({*old, *new}):
        found = [(side[address],) if address in side else () for side in (old, new)]
        yield f"{name} ({address})", _Unit(*found)


def _note(source: _Unit, destination: _Unit, note: str) -> str:
    words = [note] if note else []
    for unit, which in ((source, "source"), (destination, "destination")):
        if not unit.old:
            words.append(f"new {which}")
        elif not unit.new:
            words.append(f"{which} gone")
    return ", ".join(words)
