"""A compiled state made ready to be asked: which endpoint has an address, what is in a set.

`NodeState` is made to be sent and folded; asking it would mean walking sets. This index is
built on demand per set, so that judging one flow of a large cluster does not touch all of it.
"""

from __future__ import annotations

from tsujiban.policy.addresses import canonical, contains, is_host
from tsujiban.policy.failsafes import CLOSED, NodeFailsafes
from tsujiban.policy.forwarding import guards_by_node
from tsujiban.policy.program import EndpointProgram, Mesh, NodeState, Peer


class SetIndex:
    """One address set: hosts by address, networks as a list."""

    __slots__ = ("hosts", "nets")

    def __init__(self, members: list[tuple[str, str]]) -> None:
        self.hosts: dict[str, set[str]] = {}
        self.nets: list[tuple[str, str]] = []
        for net, identity in members:
            if is_host(net):
                self.hosts.setdefault(canonical(net), set()).add(identity)
            else:
                self.nets.append((net, identity))

    def identities(self, address: str) -> set[str]:
        """Identities of the members that hold `address`; "" among them for a plain one."""
        found = self.hosts.get(address)
        if not self.nets:
            return found or set()
        return (found or set()) | {identity for net, identity in self.nets if contains(net, address)}


class World:
    """Read-only index of a NodeState. Build a new one after the state changed."""

    def __init__(self, state: NodeState, failsafes: NodeFailsafes = CLOSED) -> None:
        self.state = state
        self.failsafes = failsafes  # of host endpoints; a state alone knows of none
        self.endpoints = state.endpoints
        self.policies = state.policies
        self.authorizations = state.authorizations
        self.peers = state.peers
        self.guards = guards_by_node(state)  # host endpoints that judge forwarded traffic, by node
        self._sets: dict[str, SetIndex | None] = {}
        self._services: dict[str, frozenset[tuple[str, int, int]] | None] = {}
        self._by_address: dict[str, EndpointProgram] = {}
        for endpoint in state.endpoints.values():
            for address in endpoint.addresses:
                self._by_address[canonical(address)] = endpoint

    def endpoint(self, address: str) -> EndpointProgram | None:
        """The endpoint that holds an address."""
        return self._by_address.get(address)

    def peer(self, address: str) -> Peer | None:
        """Who owns an address, of all that this state knows."""
        found = self.peers.get(address)
        if found is None and (endpoint := self.endpoint(address)) is not None:
            return Peer(
                address=address,
                endpoint=endpoint.id,
                identity=endpoint.identity,
                mesh=endpoint.mesh,
                node=endpoint.node,
            )
        return found

    def identity(self, address: str) -> str:
        """The SPIFFE ID that the owner of an address presents on the wire; "" for none."""
        peer = self.peer(address)
        return peer.identity if peer is not None and peer.mesh is not Mesh.NONE else ""

    def address_set(self, name: str) -> SetIndex | None:
        """The index of an address set; None when there is no such set."""
        if name not in self._sets:
            found = self.state.sets.get(name)
            self._sets[name] = (
                None if found is None else SetIndex([(m.net, m.identity) for m in found.members])
            )
        return self._sets[name]

    def service_set(self, name: str) -> frozenset[tuple[str, int, int]] | None:
        """The (address, protocol, port) triples of a service set; None when there is none."""
        if name not in self._services:
            found = self.state.service_sets.get(name)
            self._services[name] = (
                None
                if found is None
                else frozenset((canonical(m.address), m.protocol, m.port) for m in found.members)
            )
        return self._services[name]
