"""What a proxy is told of is enough: Envoy's trees against the definition, and a table that followed
changes against one that was made anew."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.property.proxy.test_table import MESH, NETS, PORTS, SERVER, SOURCES, worlds
from tests.support.matching import reached

from tsujiban.policy.addresses import contains
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Post
from tsujiban.policy.program import Action, AddressSet, Direction, Member, Mesh, NodeState, Peer
from tsujiban.proxy import names, outbound, rbac
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.connections import first_look
from tsujiban.proxy.decisions import Class, parse_decision_name
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.reach import Reach, egress, ingress
from tsujiban.proxy.services import Services
from tsujiban.proxy.site import SIDECAR
from tsujiban.proxy.table import Table
from tsujiban.proxy.unlisted import Tables, explained

CIDRS = ("10.0.0.0/16",)
ends = st.tuples(st.sampled_from(SOURCES), st.sampled_from(PORTS), st.sampled_from((79, 50000)))
owners = st.sampled_from((*MESH.values(), ""))


def event(direction: str, **fields: Any) -> ProxyEvent:
    kept: dict[str, Any] = dict.fromkeys(("source", "destination"), "")
    kept |= dict.fromkeys(("source_port", "destination_port"), 0)
    return ProxyEvent(
        time_ns=0,
        endpoint="server",
        log="x",
        direction=direction,
        verdict="deny",
        **{"rules": (), **kept, **fields},
    )


def shape(table: Table) -> Any:
    return table.rows, table.rest, table.closed, table.crowds


@settings(deadline=None, max_examples=120)
@given(worlds(authorization=True), ends, owners)
def test_a_tunnel_is_judged_by_what_the_proxy_holds_and_cited_by_what_the_agent_knows(
    state: NodeState, end: tuple[str, int, int], identity: str
) -> None:
    source, port, source_port = end
    table = ingress(state, state.endpoints["server"])
    config = rbac.connect_rbac(table)
    seen = {"UriSanInput": identity, "SourceIPInput": source, "DestinationPortInput": str(port)}
    seen["SourcePortInput"] = str(source_port)
    # what is found out before (`owners`)
    seen["DynamicMetadataInput"] = names.YES if Peers(state.peers).owner(source) == identity else ""
    action = reached(config["matcher"], seen.__getitem__)
    assert action is not None
    expected = first_look(table, identity, source, port, source_port) if identity else None
    assert (action["action"] == "ALLOW") is (expected is not None and expected.kind is not Class.DENY)
    told = parse_decision_name(action["name"])
    assert told is not None
    record = event(
        "ingress",
        peer=identity,
        source=source,
        source_port=source_port,
        destination_port=port,
        rules=told.rules,
    )
    rules = explained(record, [Tables(table, table, None)], Peers(state.peers), {}).rules
    assert rules == (expected.rules if expected is not None else (names.IDENTITY_RULE,))


@settings(deadline=None, max_examples=120)
@given(worlds(authorization=False), ends, st.booleans())
def test_outgoing_connections_are_decided_as_defined(
    state: NodeState, end: tuple[str, int, int], turned: bool
) -> None:
    destination, port, source_port = end
    for name, policy in state.policies.items():  # the same rules, seen from the other end
        rules = policy.ingress
        if turned:
            rules = tuple(replace(one, src=one.dst, dst=one.src, http=None) for one in rules)
        state.policies[name] = replace(policy, egress=rules)
    endpoint = state.endpoints["server"]
    server = state.endpoints["server"] = replace(endpoint, egress=endpoint.ingress, ingress=())
    table = egress(state, server, CIDRS)
    peers = Peers(state.peers)
    one = Flow(
        source=SERVER,
        destination=destination,
        port=port,
        source_port=source_port,
        source_endpoint="server",
    )
    expected = evaluate(state, one, Post.KERNEL)  # on the way out both posts say the same
    seen = first_look(table, peers.owner(destination) or "", destination, port, source_port)
    if seen is not None:
        assert (seen.kind is Class.TCP) is (expected.verdict is Action.ALLOW)
        assert seen.rules[0] in expected.decided_by
    services = Services(SIDECAR)
    listener = outbound.resources(SIDECAR, server, table, services)[1]
    body = json_format.MessageToDict(listener.message(), preserving_proto_field_name=True)
    inputs = {"DestinationIPInput": destination, "DestinationPortInput": str(port)}
    inputs["SourcePortInput"] = str(source_port)
    chain = reached(body["filter_chain_matcher"], inputs.__getitem__)
    assert chain is not None
    owner = peers.owner(destination)
    if seen is None:  # nobody's: refused here, or by the agent that is asked for a tunnel
        assert chain["value"] == names.MESH or chain["value"].startswith("deny:")
    elif seen.kind is Class.TCP:
        assert chain["value"] == (names.MESH if owner else names.PASSTHROUGH)
    else:
        assert chain["value"] in {rbac.UNLISTED, f"deny:{' '.join(seen.rules)}"}
        told = parse_decision_name(chain["value"])
        assert told is not None
        record = event("egress", destination=destination, destination_port=port, source_port=source_port)
        record = explained(replace(record, rules=told.rules), [Tables(table, table, None)], peers, {})
        assert record.rules == seen.rules
    config = rbac.egress_rbac(table)
    action = reached(config["shadow_matcher"], inputs.__getitem__)
    assert action is not None
    if seen is not None:  # it denies by itself, too, should the listener be late
        assert (action["action"] == "ALLOW") is (seen.kind is Class.TCP)
        assert action["action"] == "DENY" or parse_decision_name(action["name"]) == seen


@settings(deadline=None, max_examples=60)
@given(
    worlds(authorization=True),
    st.lists(st.tuples(st.sampled_from(SOURCES), st.none() | owners), min_size=1, max_size=6),
    st.sampled_from(Direction),
)
def test_a_table_that_followed_its_peers_is_the_same_as_a_new_one(
    state: NodeState, moves: list[tuple[str, str | None]], direction: Direction
) -> None:
    endpoint = state.endpoints["server"]
    networks = CIDRS if direction is Direction.EGRESS else ()
    peers = Peers(state.peers)
    reach = Reach(state, endpoint, direction, peers, networks)
    for address, identity in moves:
        if identity is None:
            state.peers.pop(address, None)
        else:
            mesh = Mesh.SIDECAR if identity else Mesh.NONE
            state.peers[address] = Peer(address=address, endpoint=address, identity=identity, mesh=mesh)
        before = reach.table
        reach.follow(peers.take(state.peers))
        assert reach.is_of(state, endpoint)
        anew = Reach(state, endpoint, direction, Peers(state.peers), networks)
        assert shape(reach.table) == shape(anew.table)
        assert (reach.table is before) or shape(reach.table) != shape(before)


members = st.builds(Member, net=st.sampled_from((*SOURCES, *NETS)), identity=owners)


@settings(deadline=None, max_examples=120)
@given(
    worlds(authorization=True),
    st.lists(st.tuples(st.sampled_from(("s1", "s2")), st.sets(members, max_size=3)), min_size=1, max_size=4),
    st.sampled_from(Direction),
    st.lists(st.tuples(st.sampled_from(SOURCES), st.none() | owners), max_size=2),
)
def test_a_table_that_followed_its_sets_is_the_same_as_a_new_one(
    state: NodeState,
    changes: list[tuple[str, set[Member]]],
    direction: Direction,
    moves: list[tuple[str, str | None]],
) -> None:
    endpoint = state.endpoints["server"]
    if direction is Direction.EGRESS:
        for name, policy in state.policies.items():
            state.policies[name] = replace(policy, egress=policy.ingress)
        endpoint = state.endpoints["server"] = replace(endpoint, egress=endpoint.ingress)
    networks = CIDRS if direction is Direction.EGRESS else ()
    peers = Peers(state.peers)
    reach = Reach(state, endpoint, direction, peers, networks)
    for address, identity in moves:  # of which it is not told before its sets change
        if identity is None:
            state.peers.pop(address, None)
        else:
            mesh = Mesh.SIDECAR if identity else Mesh.NONE
            state.peers[address] = Peer(address=address, endpoint=address, identity=identity, mesh=mesh)
    moved = peers.take(state.peers)
    for name, some in changes:
        before = shape(reach.table)
        old = state.sets[name].members
        state.sets[name] = AddressSet(id=name, members=frozenset(some))
        anew = Reach(state, endpoint, direction, Peers(state.peers), networks)
        made = reach.with_members(state, endpoint, moved)
        if made is None:  # the endpoint itself has come or gone
            assert any(contains(one.net, SERVER) for one in old ^ some)
            made = anew
        assert shape(made.table) == shape(anew.table)
        assert made.is_of(state, endpoint)
        for address in SOURCES:
            owner = peers.owner(address) or ""
            assert made.table.intervals(owner, address) == anew.table.intervals(owner, address)
            assert made.opens(address) is anew.opens(address)
        assert shape(reach.table) == before  # others may use it still
        reach, moved = made, {}
