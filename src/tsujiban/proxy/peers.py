"""Who owns which address, as the node's state says it; and who is new since it was looked at.

All pods of the node share it: what changes is found once, and each pod looks only at that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping

from tsujiban.policy.addresses import Span, canonical, contains, span
from tsujiban.policy.program import Mesh, Peer


class Peers:
    """Owners by canonical address. Mutable, not thread-safe."""

    def __init__(self, peers: Mapping[str, Peer] | None = None) -> None:
        self._known: dict[str, Peer] = {}
        self._owners: dict[str, str] = {}
        self._networks: tuple[str, ...] = ()
        self._outside: list[str] | None = None  # known only once it is asked for
        self._ordered: list[tuple[int, int, str]] = []  # by IP version and address
        if peers is not None:
            self.take(peers)

    def take(self, peers: Mapping[str, Peer]) -> set[str]:
        """Take the newest word; the addresses that mean something else than before."""
        changed = {
            canonical(address)
            for address in peers.keys() | self._known.keys()
            if (old := self._known.get(address)) is not (new := peers.get(address)) and old != new
        }
        self._known = dict(peers)
        if changed:
            self._owners = {canonical(one): _proves(peer) for one, peer in peers.items()}
            self._outside = None
            self._ordered = sorted((*span(one)[:2], one) for one in self._owners)
        return changed

    def owner(self, address: str) -> str | None:
        """The identity that the owner of an address proves, "" for one outside the mesh; None for an
        address that nobody is known to own."""
        return self._owners.get(address)

    def __contains__(self, address: str) -> bool:
        return address in self._owners

    def items(self) -> Iterable[tuple[str, str]]:
        """Every address and the identity that its owner proves."""
        return self._owners.items()

    def outside(self, networks: tuple[str, ...]) -> Iterator[str]:
        """All known addresses in none of the networks."""
        if networks != self._networks:
            self._networks = networks
            self._outside = None
        if self._outside is None:
            self._outside = [
                one for one in self._owners if not any(contains(network, one) for network in networks)
            ]
        return iter(self._outside)

    def inside(self, region: Span) -> Iterator[str]:
        """All known addresses of a part of the address space."""
        version, first, last = region
        index = bisect_left(self._ordered, (version, first, ""))
        while index < len(self._ordered) and self._ordered[index][:2] <= (version, last):
            yield self._ordered[index][2]
            index += 1


def _proves(peer: Peer) -> str:
    return peer.identity if peer.mesh is not Mesh.NONE else ""
