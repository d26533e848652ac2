"""Who owns which address, as the node's state says it; and who is new since it was looked at.

All pods of the node share it: what changes is found once, and each pod looks only at that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice

from tsujiban.policy.addresses import Span, canonical, span
from tsujiban.policy.program import Mesh, Peer

REMEMBERED = 100  # changes; whoever is further behind looks at everything
LAST = {4: (1 << 32) - 1, 6: (1 << 128) - 1}  # address, by IP version


class Peers:
    """Owners by canonical address. Mutable, not thread-safe."""

    def __init__(self, peers: Mapping[str, Peer] | None = None) -> None:
        self._known: dict[str, Peer] = {}
        self._owners: dict[str, str] = {}
        self.revision = 0  # how often anything has changed
        self._moves: deque[frozenset[str]] = deque(maxlen=REMEMBERED)
        self._plain: set[str] = set()
        self._ordered: list[tuple[int, int, str]] = []  # by IP version and address
        if peers is not None:
            self.take(peers)

    def take(self, peers: Mapping[str, Peer]) -> dict[str, str]:
        """Take the newest word; the addresses that mean something else than before, and the identities that
        their owners have proven until now ("" is none)."""
        moved: list[tuple[str, Peer | None]] = [(one, None) for one in self._known.keys() - peers.keys()]
        moved += [(one, peer) for one, peer in peers.items() if self._known.get(one) is not peer]
        changed: dict[str, str] = {}
        for address, peer in moved:
            if self._known.get(address) != peer:
                changed[canonical(address)] = self._owners.get(canonical(address), "")
                self._change(canonical(address), peer)
        self._known = dict(peers)
        if changed:
            self.revision += 1
            self._moves.append(frozenset(changed))
        return changed

    def since(self, revision: int) -> frozenset[str] | None:
        """The addresses that mean something else than at `revision`; None when that is too long ago."""
        behind = self.revision - revision
        if behind > len(self._moves):
            return None
        return frozenset().union(*islice(reversed(self._moves), behind))

    def _change(self, address: str, peer: Peer | None) -> None:
        place = (*span(address)[:2], address)
        index = bisect_left(self._ordered, place)
        if peer is None:
            del self._owners[address]
            del self._ordered[index]
            self._plain.discard(address)
        else:
            if address not in self._owners:
                self._ordered.insert(index, place)
            self._owners[address] = _proves(peer)
            (self._plain.discard if _proves(peer) else self._plain.add)(address)

    def owner(self, address: str) -> str | None:
        """The identity that the owner of an address proves, "" for one outside the mesh; None for an
        address that nobody is known to own."""
        return self._owners.get(address)

    def __contains__(self, address: str) -> bool:
        return address in self._owners

    def items(self) -> Iterable[tuple[str, str]]:
        """Every address and the identity that its owner proves."""
        return self._owners.items()

    def plain(self) -> Iterable[str]:
        """Every known address whose owner is outside the mesh."""
        return self._plain

    def outside(self, networks: tuple[str, ...]) -> Iterator[str]:
        """All known addresses in none of the networks."""
        for gap in _gaps(networks):
            yield from self.inside(gap)

    def inside(self, region: Span) -> Iterator[str]:
        """All known addresses of a part of the address space."""
        version, first, last = region
        index = bisect_left(self._ordered, (version, first, ""))
        while index < len(self._ordered) and self._ordered[index][:2] <= (version, last):
            yield self._ordered[index][2]
            index += 1


def _proves(peer: Peer) -> str:
    return peer.identity if peer.mesh is not Mesh.NONE else ""


@lru_cache(16)
def _gaps(networks: tuple[str, ...]) -> tuple[Span, ...]:
    """The address space without the networks."""
    found: list[Span] = []
    for version, last in LAST.items():
        start = 0
        for its_version, first, its_last in sorted(map(span, networks)):
            if its_version == version:
                if first > start:
                    found.append((version, start, first - 1))
                start = max(start, its_last + 1)
        if start <= last:
            found.append((version, start, last))
    return tuple(found)
