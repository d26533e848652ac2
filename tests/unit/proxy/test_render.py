from __future__ import annotations

import msgspec
import pytest
from msgspec import structs
from tests.support.proxystate import CUSTOMER, POD_CIDRS, READS, identity, rule, state

from tsujiban.policy.program import AddressSet, Backend, Member, Mesh, NodeState, Peer, Side
from tsujiban.proxy import names
from tsujiban.proxy.decisions import Branch
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.render import Renderer, render
from tsujiban.proxy.resource import Kind


def versions(*, turned: bool = False) -> dict[str, str]:
    world = state(rule("r", http=READS))
    if turned:  # the same, told in another order
        world.peers = dict(reversed(world.peers.items()))
        world.services = dict(reversed(world.services.items()))
    resources = render(world, "default/server", POD_CIDRS).resources
    return {f"{kind} {name}": one.version for kind in Kind for name, one in resources[kind].items()}


def test_it_is_the_same_however_the_state_was_told() -> None:
    assert versions() == versions(turned=True)


def test_everything_is_a_message_that_envoy_has() -> None:
    made = render(state(rule("r", http=READS)), "default/server", POD_CIDRS)
    for kind in Kind:
        for one in made.resources[kind].values():
            assert one.encoded()
    assert made.tables is not None
    assert isinstance(made.tables.ingress.find(identity("customer"), CUSTOMER, 80), Branch)


def test_a_change_of_a_set_changes_only_the_authorization() -> None:
    world = state(rule("r", http=READS))
    before = render(world, "default/server", POD_CIDRS).resources
    world.policies["p"] = world.policies["p"].__class__(id="p", ingress=(rule("s", http=READS),))
    world.sets["clients"] = AddressSet(id="clients", members=frozenset({Member(net="10.9.9.9")}))
    after = render(world, "default/server", POD_CIDRS).resources
    changed = {
        f"{kind.name} {name}"
        for kind in Kind
        for name, one in after[kind].items()
        if before[kind][name].version != one.version
    }
    assert changed == {"EXTENSION rbac-http"}


def test_an_unknown_endpoint_has_nothing_to_enforce() -> None:
    with pytest.raises(KeyError):
        render(state(), "default/nobody", POD_CIDRS)


def followed(world: NodeState) -> tuple[Renderer, Peers]:
    renderer, peers = Renderer("default/server"), Peers(world.peers)
    renderer.take(world, peers, (), POD_CIDRS)
    return renderer, peers


def made_by(renderer: Renderer, peers: Peers, world: NodeState) -> set[str]:
    """What a change makes anew, and that it is what a new renderer would make."""
    renderer.work.clear()
    renderer.take(world, peers, peers.take(world.peers), POD_CIDRS)
    anew = render(world, "default/server", POD_CIDRS)
    for kind in Kind:
        found = {name: one.version for name, one in renderer.resources[kind].items()}
        assert found == {name: one.version for name, one in anew.resources[kind].items()}
    return set(renderer.work)


def peer(address: str, name: str) -> Peer:
    return Peer(address=address, endpoint=name, identity=identity(name), mesh=Mesh.SIDECAR)


ONLY_CLIENTS = rule("r", src=Side(sets=("clients",)))


def test_a_peer_that_may_neither_reach_nor_be_reached_makes_no_work() -> None:
    world = state(ONLY_CLIENTS, egress=(rule("e", dst=Side(sets=("clients",))),))
    renderer, peers = followed(world)
    world.peers["10.244.3.3"] = peer("10.244.3.3", "new")
    assert made_by(renderer, peers, world) == set()
    world.peers["10.244.3.3"] = peer("10.244.3.3", "other")
    assert made_by(renderer, peers, world) == set()
    del world.peers["10.244.3.3"]
    assert made_by(renderer, peers, world) == set()


def test_a_peer_makes_no_work_where_anybody_may_come() -> None:
    world = state(egress=(rule("e", dst=Side(sets=("clients",))),))
    renderer, peers = followed(world)
    world.peers["10.244.3.3"] = peer("10.244.3.3", "new")
    assert made_by(renderer, peers, world) == set()


def test_a_peer_that_may_be_reached_makes_no_work_either_where_many_may_be() -> None:
    world = state(ONLY_CLIENTS)
    renderer, peers = followed(world)
    world.peers["10.244.3.3"] = peer("10.244.3.3", "new")
    assert made_by(renderer, peers, world) == set()


def test_a_policy_makes_work_where_it_counts() -> None:
    world = state(ONLY_CLIENTS)
    renderer, peers = followed(world)
    world.policies["p"] = world.policies["p"].__class__(id="p", ingress=(rule("s", src=ONLY_CLIENTS.src),))
    assert made_by(renderer, peers, world) == {"ingress table", "authorization"}
    world.policies["q"] = world.policies["p"]
    assert made_by(renderer, peers, world) == set()


def test_a_set_that_another_endpoint_asks_for_makes_no_work() -> None:
    world = state(ONLY_CLIENTS)
    renderer, peers = followed(world)
    world.sets["others"] = AddressSet(id="others", members=frozenset({Member(net=CUSTOMER)}))
    assert made_by(renderer, peers, world) == set()


def test_a_backend_changes_its_service_and_no_listener() -> None:
    world = state(ONLY_CLIENTS)
    renderer, peers = followed(world)
    before = renderer.resources
    service = world.services["default/server"]
    ports = (structs.replace(service.ports[0], backends=(Backend(address=CUSTOMER, port=80),)),)
    world.services["default/server"] = structs.replace(service, ports=ports)
    assert made_by(renderer, peers, world) == set()
    changed = {
        name
        for kind in Kind
        for name, one in renderer.resources[kind].items()
        if before[kind][name].version != one.version
    }
    assert changed == {names.service_cluster(names.LISTED, "10.96.0.9:80")}


def test_the_whole_state_told_again_makes_no_work() -> None:
    world = state(ONLY_CLIENTS)
    renderer, peers = followed(world)
    again = msgspec.json.decode(msgspec.json.encode(world), type=NodeState)
    assert made_by(renderer, peers, again) == set()


def test_an_endpoint_that_goes_leaves_nothing() -> None:
    world = state(ONLY_CLIENTS)
    renderer, peers = followed(world)
    renderer.take(NodeState(), peers, (), POD_CIDRS)
    assert renderer.resources == {}
    assert renderer.tables is None
