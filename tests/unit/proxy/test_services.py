from __future__ import annotations

import msgspec
from tests.support.proxystate import CUSTOMER, POD_CIDRS, SERVER, STRANGER, identity, rule, state

from tsujiban.policy.program import (
    Backend,
    Direction,
    Mesh,
    NodeState,
    Peer,
    ServicePort,
    ServiceProgram,
    Side,
)
from tsujiban.proxy import names
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.reach import Reach, egress
from tsujiban.proxy.services import FEW, Services
from tsujiban.proxy.site import SIDECAR

ONLY_CLIENTS = rule("e", dst=Side(sets=("clients",)))


def service(name: str, *backends: str, protocol: int = 6) -> ServiceProgram:
    listed = tuple(Backend(address=one, port=8080) for one in backends)
    ports = (ServicePort(protocol=protocol, port=80, backends=listed),)
    return ServiceProgram(id=name, addresses=(f"10.96.0.{len(name)}",), ports=ports)


def follow(world: NodeState, services: Services | None = None) -> Services:
    made = services or Services(SIDECAR)
    table = egress(world, world.endpoints["default/server"], POD_CIDRS)
    made.follow(world.services, table, Peers(world.peers), (SERVER,))
    return made


def world_of(*services: ServiceProgram) -> NodeState:
    world = state(egress=(ONLY_CLIENTS,))
    world.services = {one.id: one for one in services}
    return world


def test_a_service_is_listed_when_any_backend_may_be_reached() -> None:
    made = follow(world_of(service("a", CUSTOMER, STRANGER), service("bb", STRANGER), service("ccc", SERVER)))
    assert list(made.listed) == ["a", "ccc"]
    assert made.closed == ("10.96.0.2",)
    assert len(made.resources()) == 5  # the name, two clusters and their endpoints


def test_one_without_backends_is_listed_and_one_without_tcp_is_not() -> None:
    made = follow(world_of(service("a"), service("bb", CUSTOMER, protocol=17)))
    assert list(made.listed) == ["a"]
    assert made.closed == ("10.96.0.2",)


def test_a_headless_service_needs_nothing() -> None:
    world = world_of(ServiceProgram(id="a", endpoint_addresses=(CUSTOMER,)))
    made = follow(world)
    assert (made.listed, made.closed, made.resources()) == ({}, (), [])


def test_only_what_has_changed_is_rendered() -> None:
    world = world_of(service("a", CUSTOMER), service("bb", CUSTOMER))
    table, peers = egress(world, world.endpoints["default/server"], POD_CIDRS), Peers(world.peers)
    made = Services(SIDECAR)
    made.follow(world.services, table, peers, (SERVER,))
    before = made.resources()
    made.follow({**world.services, "bb": service("bb", CUSTOMER, SERVER)}, table, peers, (SERVER,))
    after = made.resources()
    kept = [one is two for one, two in zip(before[1:], after[1:], strict=True)]
    assert kept == [True, True, False, False]
    made.follow({"a": service("a", CUSTOMER)}, table, peers, (SERVER,))
    assert made.resources()[1:] == before[1:3]
    assert list(made.listed) == ["a"]


def test_another_policy_is_another_choice() -> None:
    made = follow(world_of(service("a", STRANGER)))
    assert list(made.listed) == []
    opened = state(egress=(rule("all"),))
    opened.services = {"a": service("a", STRANGER)}
    follow(opened, made)
    assert list(made.listed) == ["a"]
    assert not made.closed


def test_a_service_whose_backend_gets_another_owner_is_looked_at_again_and_no_other() -> None:
    """The egress table need not have changed: where it is open, it does not say who owns what."""
    late = "10.244.7.7"
    world = world_of(service("a", late), service("bb", CUSTOMER))
    world.endpoints["default/server"] = msgspec.structs.replace(world.endpoints["default/server"], egress=())
    peers = Peers(world.peers)
    reach = Reach(world, world.endpoints["default/server"], Direction.EGRESS, peers, POD_CIDRS)
    table = reach.table
    made = Services(SIDECAR)
    made.follow(world.services, table, peers, (SERVER,))
    assert list(made.listed) == ["bb"]
    kept = made.listed["bb"]
    newcomer = Peer(address=late, endpoint="default/late", identity=identity("late"), mesh=Mesh.SIDECAR)
    for owned in (True, False, True):
        reach.follow(peers.take({**world.peers, **({late: newcomer} if owned else {})}))
        assert reach.table is table
        made.follow(world.services, table, peers, (SERVER,))
        assert list(made.listed) == (["a", "bb"] if owned else ["bb"])
        assert made.listed["bb"] is kept
    made.follow({"bb": world.services["bb"]}, table, peers, (SERVER,))
    peers.take(world.peers)
    made.follow({"bb": world.services["bb"]}, table, peers, (SERVER,))
    assert list(made.listed) == ["bb"]


def test_where_there_are_many_the_proxy_is_sent_their_places_and_what_it_asks_for() -> None:
    many = [f"{number:03}" for number in range(FEW + 1)]
    world = state(egress=(rule("all"),))
    world.services = {
        name: msgspec.structs.replace(service(name, CUSTOMER), addresses=(f"10.96.1.{int(name) + 1}",))
        for name in many
    }
    made = follow(world)
    assert made.generation == names.ASKED
    assert [len(addresses) for _, addresses in made.places] == [FEW + 1]
    assert [one.name for one in made.resources()] == [names.SERVICE_ROUTE]
    cluster, new = made.ask("10.96.1.1:80")
    assert new
    assert cluster is not None
    assert cluster.name == names.service_cluster(names.ASKED, "10.96.1.1:80")
    assert made.ask("10.96.1.1:80")[1] is False
    assert [one.name for one in made.resources()] == [names.SERVICE_ROUTE, cluster.name]
    assert made.ask("10.96.1.1:81") == made.ask("10.96.2.1:80") == (None, False)
    del world.services["000"]
    follow(world, made)
    assert made.generation == names.LISTED
    assert len(made.resources()) == 1 + 2 * FEW
    assert made.ask("10.96.1.1:80") == (None, False)


def test_a_service_that_comes_or_whose_backends_change_moves_no_other_s_place() -> None:
    made = follow(world_of(service("a", CUSTOMER), service("bb", CUSTOMER)))
    places, revision = made.places, made.revision
    follow(world_of(service("a", CUSTOMER, SERVER), service("bb", CUSTOMER)), made)
    assert made.places == places
    assert made.revision > revision
