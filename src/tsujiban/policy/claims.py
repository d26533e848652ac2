"""Who owns an address: of all endpoints that have it, always the same one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from tsujiban.policy.program import EndpointProgram, Peer


class Claims:
    """Endpoints by address, kept beside the programs of `endpoints`."""

    def __init__(self, endpoints: Mapping[str, EndpointProgram]) -> None:
        self._endpoints = endpoints
        self._claims: dict[str, set[str]] = defaultdict(set)

    def change(
        self, name: str, old: EndpointProgram | None, new: EndpointProgram | None
    ) -> Iterator[tuple[str, Peer | None]]:
        """Put an endpoint's new addresses in the place of its old ones: each of them, and whose it is
        now. `endpoints` must hold what is new already."""
        before = set(old.addresses) if old is not None else set()
        after = set(new.addresses) if new is not None else set()
        for address in before - after:
            self._claims[address].discard(name)
            if not self._claims[address]:
                del self._claims[address]
        for address in after:
            self._claims[address].add(name)
        for address in before | after:
            claims = self._claims.get(address)
            yield address, None if not claims else _peer(address, self._endpoints[min(claims)])


def _peer(address: str, endpoint: EndpointProgram) -> Peer:
    return Peer(
        address=address,
        endpoint=endpoint.id,
        identity=endpoint.identity,
        mesh=endpoint.mesh,
        node=endpoint.node,
    )
