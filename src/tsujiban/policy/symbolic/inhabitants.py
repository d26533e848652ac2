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
    found = [
        Spot(e.id, e.id, address, e.id if e.host else "")
        for e in world.world.endpoints.values()
        for address in e.addresses
    ]
    for obj in world.graph.objects():
        if isinstance(obj, core.Pod) and obj.spec.host_network:
            end = world.end(_name(obj))
            if not end.endpoint:
                found += [Spot(end.name, "", one, _host(world, one)) for one in end.addresses]
    return found


def _host(world: OfflineWorld, address: str) -> str:
    holder = world.world.endpoint(address)
    return holder.id if holder is not None and holder.host else ""


def entities(world: OfflineWorld, parties: Parties) -> list[Entity]:
    """Everybody, in the order of their names; the outside last."""
    owners, many = owners_of(world.graph.objects()), stand_for_many(world)
    units: dict[str, dict[tuple[Party, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, found in parties.by_name().items():
        owner = owners.get(name, name)
        mine = tuple(sorted(set(found.values()), key=lambda p: p.index))
        if len({party.version for party in mine}) == len(mine):
            units[owner][mine].append(name)
        else:  # addresses of one version that policy tells apart
            for address, party in found.items():
                units[owner][(party,)].append(f"{name} ({address})")
    made: list[Entity] = []
    for owner, parts in sorted(units.items()):
        for mine, pods in sorted(parts.items(), key=lambda part: part[1]):
            name = owner if len(parts) == 1 or pods == [owner] else _part(owner, pods)
            several = len(pods) > 1 or owner in many
            made.append(Entity(name, mine, several, frozenset((owner, *pods))))
    made += [Entity("", (party,), False) for party in parties.all if party.blocks]
    return made


def _part(owner: str, pods: Iterable[str]) -> str:
    """The name of some of a workload's pods."""
    place = owner.partition("/")[0] + "/"
    return f"{owner} [{', '.join(pod.removeprefix(place) for pod in pods)}]"


def stand_for_many(world: OfflineWorld) -> set[str]:
    """The endpoints that stand for all pods of a workload that has none among the objects."""
    names: set[str] = set()
    for obj in world.graph.objects():
        if template_of(obj) is not None:
            names |= {_name(obj), f"{_name(obj)}-{obj.kind.lower()}"}
    return {
        endpoint.id
        for endpoint in world.world.endpoints.values()
        if endpoint.id in names and all(address.startswith(UNKNOWN) for address in endpoint.addresses)
    }


def owners_of(objects: Iterable[Object]) -> dict[str, str]:
    """The workload of each pod that has one."""
    owners: dict[str, str] = {}
    pods: set[str] = set()
    for obj in objects:
        if not isinstance(obj, core.Pod):
            continue
        pods.add(_name(obj))
        owner = next((o for o in obj.metadata.owner_references if o.controller), None)
        if owner is not None:
            name = owner.name
            if owner.kind == "ReplicaSet":  # of a Deployment, most likely
                name = name.removesuffix(f"-{obj.metadata.labels.get(HASH)}")
            owners[_name(obj)] = f"{_name(obj).partition('/')[0]}/{name}"
    for pod, workload in owners.items():
        if workload in pods and workload != pod:
            owners[pod] = f"{workload} (owner)"
    return owners


def _name(obj: Object) -> str:
    return f"{obj.metadata.namespace or 'default'}/{obj.metadata.name}"


class Outside:
    """The addresses outside in the words of the policies: `0.0.0.0/0 except 10.0.0.0/8`."""

    def __init__(self, parties: Parties, named: Iterable[str]) -> None:
        self._universe = {4: 0, 6: 0}
        self._patterns: dict[int, list[Named]] = {}
        nets = sorted(set(named))
        for version, world in WORLDS.items():
            for its, at in parties.outside:
                if its == version:
                    self._universe[version] |= 1 << at
            self._patterns[version] = [Named(world, self._universe[version])]
            for net in nets:
                its, first, last = span(net)
                if its == version:
                    within = parties.regions[version].within(first, last)
                    mask = ((1 << len(within)) - 1) << within.start & self._universe[version]
                    self._patterns[version].append(Named(net, mask))

    def words(self, regions: Iterable[tuple[int, int]]) -> tuple[str, ...]:
        """Terms for some regions, each an IP version and its number."""
        targets = {4: 0, 6: 0}
        for version, at in regions:
            targets[version] |= 1 << at
        return tuple(
            str(term._replace(texts=term.texts or (WORLDS[version],)))
            for version, target in targets.items()
            if target
            for term in describe(target, self._patterns[version], self._universe[version])
        )


def regions_of(parties: Iterable[Party], everybody: Parties) -> list[tuple[int, int]]:
    """The regions of parties outside."""
    return [
        (version, everybody.regions[version].at(first))
        for party in parties
        for version, first, _ in party.blocks
    ]


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
