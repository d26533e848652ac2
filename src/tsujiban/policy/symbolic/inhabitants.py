"""Who lives at which ends: pods by the workload that owns them, and networks outside by CIDR.

People ask about workloads. Pods of one workload are one entity, unless policy treats them
differently; then each part is named apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import NamedTuple

from tsujiban.policy.addresses import UNKNOWN, Span, span
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.symbolic.cover import Named, describe
from tsujiban.policy.symbolic.parties import Parties, Party, Spot
from tsujiban.policy.workloads import template_of
from tsujiban.resources.kinds import core
from tsujiban.resources.kinds.meta import Object

HASH = "pod-template-hash"
WORLDS = {4: "0.0.0.0/0", 6: "::/0"}


class Entity(NamedTuple):
    """One workload, a part of one, or one stretch of networks outside. At most one party for each
    IP version."""

    name: str  # "" outside
    parties: tuple[Party, ...]
    several: bool  # whether it has, or may have, more than one pod
    names: frozenset[str] = frozenset()  # everything that it may be called by


def spots_of(world: OfflineWorld) -> list[Spot]:
    """The named ends inside a world: endpoints, and pods on their host's network."""
    found = [Spot(e.id, e.id, address) for e in world.world.endpoints.values() for address in e.addresses]
    for obj in world.graph.objects():
        if isinstance(obj, core.Pod) and obj.spec.host_network:
            end = world.end(_name(obj))
            if not end.endpoint:
                found += [Spot(end.name, "", address) for address in end.addresses]
    return found


def entities(objects: Iterable[Object], parties: Parties) -> list[Entity]:
    """Everybody, in the order of their names; the outside last."""
    owners, workloads = _owners(objects)
    units: dict[str, dict[tuple[Party, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    stand_ins: set[str] = set()
    for name, found in _by_name(parties).items():
        owner = owners.get(name, name)
        if name in workloads and all(spot.address.startswith(UNKNOWN) for spot, _ in found):
            stand_ins.add(name)
        versions = [party.version for party in {party for _, party in found}]
        if len(set(versions)) == len(versions):
            mine = tuple(sorted({party for _, party in found}, key=lambda p: p.index))
            units[owner][mine].append(name)
        else:  # addresses of one version that policy tells apart
            for spot, party in found:
                units[owner][(party,)].append(f"{name} ({spot.address})")
    made: list[Entity] = []
    for owner, parts in sorted(units.items()):
        for mine, pods in sorted(parts.items(), key=lambda part: part[1]):
            name = (
                owner
                if len(parts) == 1 or pods == [owner]
                else f"{owner} [{', '.join(p.removeprefix(owner.partition('/')[0] + '/') for p in pods)}]"
            )
            several = len(pods) > 1 or owner in stand_ins
            made.append(Entity(name, mine, several, frozenset((owner, *pods))))
    made += [Entity("", (party,), False) for party in parties.all if party.blocks]
    return made


def _by_name(parties: Parties) -> dict[str, list[tuple[Spot, Party]]]:
    found: dict[str, list[tuple[Spot, Party]]] = defaultdict(list)
    for party in parties.all:
        for spot in party.spots:
            found[spot.name].append((spot, party))
    return found


def _owners(objects: Iterable[Object]) -> tuple[dict[str, str], set[str]]:
    """The workload of each pod that has one, and how pods that stand for workloads are called."""
    owners: dict[str, str] = {}
    workloads: set[str] = set()
    pods: set[str] = set()
    for obj in objects:
        if isinstance(obj, core.Pod):
            pods.add(_name(obj))
            owner = next((o for o in obj.metadata.owner_references if o.controller), None)
            if owner is not None:
                suffix = f"-{obj.metadata.labels.get(HASH)}"
                name, kind = owner.name, owner.kind
                if kind == "ReplicaSet" and name.endswith(suffix):
                    name, kind = name.removesuffix(suffix), "Deployment"
                owners[_name(obj)] = f"{_name(obj).partition('/')[0]}/{name}"
        elif template_of(obj) is not None:
            workloads |= {_name(obj), f"{_name(obj)}-{obj.kind.lower()}"}
    for pod, workload in owners.items():
        if workload in pods and workload != pod:
            owners[pod] = f"{workload} (owner)"
    return owners, workloads


def _name(obj: Object) -> str:
    return f"{obj.metadata.namespace or 'default'}/{obj.metadata.name}"


class Outside:
    """The addresses outside in the words of the policies: `0.0.0.0/0 except 10.0.0.0/8`."""

    def __init__(self, parties: Parties, named: Iterable[str]) -> None:
        self._regions: dict[tuple[int, int], int] = {}  # by version and first address: its bit
        self._universe = {4: 0, 6: 0}
        self._patterns: dict[int, list[Named]] = {}
        nets = sorted(set(named))
        for version, world in WORLDS.items():
            for at, (first, _) in enumerate(parties.regions[version]):
                if (version, at) in parties.outside:
                    self._regions[version, first] = 1 << at
                    self._universe[version] |= 1 << at
            self._patterns[version] = [Named(world, self._universe[version])]
            for net in nets:
                its, first, last = span(net)
                if its == version:
                    within = parties.regions[version].within(first, last)
                    mask = ((1 << len(within)) - 1) << within.start & self._universe[version]
                    self._patterns[version].append(Named(net, mask))

    def words(self, parties: Iterable[Party]) -> tuple[str, ...]:
        """Terms for the addresses of some parties."""
        targets = {4: 0, 6: 0}
        for party in parties:
            for version, first, _ in party.blocks:
                targets[version] |= self._regions[version, first]
        return tuple(
            str(term._replace(texts=term.texts or (WORLDS[version],)))
            for version, target in targets.items()
            if target
            for term in describe(target, self._patterns[version], self._universe[version])
        )


def cidrs(parties: Iterable[Party]) -> tuple[str, ...]:
    """The same addresses as the fewest CIDRs."""
    found: list[str] = []
    blocks = sorted(block for party in parties for block in party.blocks)
    for version, first, last in _runs(blocks):
        if version == 4:
            found += map(str, summarize_address_range(IPv4Address(first), IPv4Address(last)))
        else:
            found += map(str, summarize_address_range(IPv6Address(first), IPv6Address(last)))
    return tuple(found)


def _runs(blocks: Sequence[Span]) -> list[Span]:
    runs: list[Span] = []
    for version, first, last in blocks:
        if runs and runs[-1][0] == version and runs[-1][2] + 1 == first:
            runs[-1] = (version, runs[-1][1], last)
        else:
            runs.append((version, first, last))
    return runs
