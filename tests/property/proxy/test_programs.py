"""Endpoints that share a table have the one that each would have had alone, whatever changes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.property.proxy.test_reach import CIDRS, owners, shape
from tests.property.proxy.test_table import SOURCES, worlds

from tsujiban.policy.program import AddressSet, Direction, Member, Mesh, NodeState, Peer
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.programs import Programs
from tsujiban.proxy.reach import Reach

changes = st.tuples(st.sampled_from(SOURCES), owners, st.booleans())


@settings(deadline=None, max_examples=60)
@given(
    worlds(authorization=True),
    st.lists(st.tuples(st.sampled_from(SOURCES), owners), min_size=1, max_size=3),
    st.lists(changes, min_size=1, max_size=4),
    st.sampled_from(Direction),
)
def test_shared_tables_are_those_of_each_alone(
    state: NodeState,
    replicas: list[tuple[str, str]],
    moves: list[tuple[str, str, bool]],
    direction: Direction,
) -> None:
    server = state.endpoints["server"]
    if direction is Direction.EGRESS:
        for name, policy in state.policies.items():
            state.policies[name] = replace(policy, egress=policy.ingress)
        server = replace(server, egress=server.ingress)
    endpoints = [server, *(replace(server, addresses=(at,), identity=who) for at, who in replicas)]
    networks = CIDRS if direction is Direction.EGRESS else ()
    programs, peers = Programs(), Peers(state.peers)
    held = [programs.find(state, one, direction, peers, networks)[0] for one in endpoints]
    for address, identity, joins in moves:
        mesh = Mesh.SIDECAR if identity else Mesh.NONE
        state.peers[address] = Peer(address=address, endpoint=address, identity=identity, mesh=mesh)
        for name, old in state.sets.items() if joins else ():
            more = frozenset({*old.members, Member(net=address, identity=identity)})
            state.sets[name] = AddressSet(id=name, members=more)
        programs.moved(peers.take(state.peers))
        held = [programs.find(state, one, direction, peers, networks)[0] for one in endpoints]
        for one, reach in zip(endpoints, held, strict=True):
            anew = Reach(state, one, direction, Peers(state.peers), networks)
            assert shape(reach.table) == shape(anew.table)
            assert reach.table.find("", "203.0.113.9", 80) == anew.table.find("", "203.0.113.9", 80)
