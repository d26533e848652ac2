"""Who can be at an end of a flow, grouped: those that no policy can tell apart are one party.

Endpoints with equal programs and equal memberships are one class; so are all addresses outside
between two bounds that some policy names. The number of parties is what the analysis costs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from tsujiban.policy.addresses import Span, canonical, is_host, span
from tsujiban.policy.program import EndpointProgram, Mesh
from tsujiban.policy.symbolic.distinctions import Distinctions
from tsujiban.policy.symbolic.words import TooManyDistinctions
from tsujiban.policy.world import World

MAX_PARTIES = 20_000
"""Most classes of ends."""

BITS = {4: 32, 6: 128}
Triples = frozenset[tuple[str, int, int]]  # service set, protocol, port


class Spot(NamedTuple):
    """One address of one named thing inside: an endpoint, or a pod on its host's network."""

    name: str
    endpoint: str  # "" for what has no program of its own
    address: str
    host: str = ""  # the host endpoint that holds the address; "" for a workload's own


class Memberships(NamedTuple):
    """In which address sets an end is, as each post may see it."""

    kernel: frozenset[str]  # by address
    honest: frozenset[str]  # by address, and authenticated as itself
    plain: frozenset[str]  # by address, without an identity


class Party:
    """One class of ends."""

    __slots__ = (
        "address",
        "bit",
        "blocks",
        "endpoint",
        "identity",
        "index",
        "member",
        "spots",
        "triples",
        "version",
    )

    def __init__(
        self,
        index: int,
        endpoint: EndpointProgram | None,
        address: str,
        identity: str,
        member: Memberships,
        triples: Triples,
    ) -> None:
        self.index = index
        self.bit = 1 << index
        self.endpoint = endpoint
        self.address = address  # a witness
        self.version = span(address)[0]
        self.identity = identity  # what it presents when it is honest; "" is plaintext
        self.member = member
        self.triples = triples
        self.spots: list[Spot] = []
        self.blocks: list[Span] = []  # of the addresses outside

    def meets(self, other: Party) -> bool:
        """Whether a flow between them exists: their IP versions agree, or one is not known."""
        return self.version == other.version or not self.version or not other.version


def on_one_host(one: Party, other: Party) -> bool:
    """Whether all ends of two parties are on the network of one host: its endpoint, and pods without
    a network of their own. What those send each other never leaves it, and no policy is asked."""
    if one.endpoint is None or other.endpoint is None or not (one.endpoint.host and other.endpoint.host):
        return False
    return len({spot.host for spot in (*one.spots, *other.spots)}) == 1


class Regions:
    """The address space of one IP version, cut wherever something is named."""

    def __init__(self, version: int, nets: Iterable[Span]) -> None:
        self.version = version
        end = 1 << BITS[version]
        mine = {(first, last) for its, first, last in nets if its == version}
        self.starts = sorted(
            {0} | {first for first, _ in mine} | {last + 1 for _, last in mine if last + 1 < end}
        )
        self._ends = [*(start - 1 for start in self.starts[1:]), end - 1]

    def at(self, address: int) -> int:
        """The index of the region of an address."""
        return bisect_right(self.starts, address) - 1

    def within(self, first: int, last: int) -> range:
        """The regions of a net that was named."""
        return range(self.at(first), self.at(last) + 1)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts, self._ends, strict=True)


class Parties:
    """All ends of a world. `marks` says what else keeps two endpoints apart."""

    def __init__(
        self,
        world: World,
        distinctions: Distinctions,
        spots: Iterable[Spot],
        marks: dict[str, Hashable],
        identities: dict[str, Hashable],
    ) -> None:
        self._world = world
        self._marks, self._identities = marks, identities
        self.all: list[Party] = []
        self.of: dict[tuple[str, str], Party] = {}  # by endpoint and address
        self.outside: dict[tuple[int, int], Party] = {}  # by IP version and region
        self._by_key: dict[Hashable, Party] = {}
        bounds = [span(net) for net in distinctions.nets | distinctions.bounds]
        self.regions = {v: Regions(v, bounds) for v in BITS}
        self._cover: dict[int, list[list[str]]] = {
            v: [[] for _ in regions.starts] for v, regions in self.regions.items()
        }
        self._named = distinctions.nets
        self._hosts, self._set_nets = self._members()
        for net in distinctions.nets | set(self._set_nets):
            version, first, last = span(net)
            if version:
                for at in self.regions[version].within(first, last):
                    self._cover[version][at].append(net)
        self._triples: dict[str, set[tuple[str, int, int]]] = defaultdict(set)
        for name, found in world.state.service_sets.items():
            for member in found.members:
                self._triples[canonical(member.address)].add((name, member.protocol, member.port))
        self._region_nets: dict[tuple[int, int], frozenset[str]] = {}
        owned: dict[int, list[int]] = {version: [] for version in BITS}
        for spot in sorted(spots):
            party = self._inside(spot)
            party.spots.append(spot)
            self.of[spot.endpoint, spot.address] = party
            if party.version:
                owned[party.version].append(span(spot.address)[1])
        for version, addresses in owned.items():
            self._outside(version, sorted(set(addresses)))

    def find(self, endpoint: str, address: str) -> Party | None:
        """The party of an end; None for an endpoint that is not among them."""
        found = self.of.get((endpoint, address))
        if found is None and not endpoint:
            holder = self._world.endpoint(address)
            if holder is not None:
                return self.of.get((holder.id, address))
            version, first, _ = span(address)
            if version:
                return self.outside.get((version, self.regions[version].at(first)))
        return found

    def nets_of(self, party: Party) -> frozenset[str]:
        """The named nets that an end lies in."""
        return self._nets(*span(party.address)[:2])

    def by_name(self) -> dict[str, dict[str, Party]]:
        """The parties of everything inside: by name and address."""
        found: dict[str, dict[str, Party]] = defaultdict(dict)
        for party in self.all:
            for spot in party.spots:
                found[spot.name][spot.address] = party
        return found

    # ------------------------------------------------------------------ making them

    def _members(self) -> tuple[dict[str, list[tuple[str, str]]], dict[str, list[tuple[str, str]]]]:
        hosts: dict[str, list[tuple[str, str]]] = defaultdict(list)
        nets: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name, found in self._world.state.sets.items():
            for net, identity in {(m.net, m.identity) for m in found.members}:
                if is_host(net):
                    hosts[canonical(net)].append((name, identity))
                else:
                    nets[net].append((name, identity))
        return hosts, nets

    def _nets(self, version: int, address: int) -> frozenset[str]:
        if not version:
            return frozenset()
        at = self.regions[version].at(address)
        key = (version, at)
        if key not in self._region_nets:
            self._region_nets[key] = frozenset(self._cover[version][at])
        return self._region_nets[key]

    def _membership(self, address: str, nets: frozenset[str], identity: str) -> Memberships:
        pairs = list(self._hosts.get(address, ()))
        for net in nets:
            pairs += self._set_nets.get(net, ())
        plain = frozenset(name for name, own in pairs if not own)
        honest = plain | {name for name, own in pairs if own and own == identity}
        return Memberships(frozenset(name for name, _ in pairs), honest, plain)

    def _party(self, endpoint: EndpointProgram | None, address: str, identity: str, mark: Hashable) -> Party:
        version, first, _ = span(address)
        nets = self._nets(version, first)
        member = self._membership(address, nets, identity)
        triples: Triples = frozenset(self._triples.get(address, ()))
        seen = self._identities.get(identity, bool(identity))
        key = (version, nets & self._named, member, triples, seen, mark)
        found = self._by_key.get(key)
        if found is None:
            if len(self.all) >= MAX_PARTIES:
                raise TooManyDistinctions(f"policies tell apart more than {MAX_PARTIES} kinds of ends")
            found = self._by_key[key] = Party(len(self.all), endpoint, address, identity, member, triples)
            self.all.append(found)
        return found

    def _inside(self, spot: Spot) -> Party:
        world = self._world
        endpoint = world.endpoints.get(spot.endpoint) if spot.endpoint else world.endpoint(spot.address)
        if spot.endpoint and endpoint is not None:
            identity = endpoint.identity if endpoint.mesh is not Mesh.NONE else ""
        else:
            identity = world.identity(spot.address)
        mark = ("inside", None if endpoint is None else self._marks[endpoint.id])
        return self._party(endpoint, spot.address, identity, mark)

    def _outside(self, version: int, owned: list[int]) -> None:
        place = 0
        for region, (first, last) in enumerate(self.regions[version]):
            while place < len(owned) and owned[place] < first:
                place += 1
            witness = first
            at = place
            while at < len(owned) and owned[at] == witness:
                witness, at = witness + 1, at + 1
            if witness > last:
                continue  # all of it is inside
            address = str(IPv4Address(witness) if version == 4 else IPv6Address(witness))
            party = self._party(None, address, "", ("outside",))
            party.blocks.append((version, first, last))
            self.outside[version, region] = party
