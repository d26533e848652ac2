from __future__ import annotations

from typing import Any

from tests.support.proxystate import CUSTOMER, POD_CIDRS, SERVER, STRANGER, identity, rule, state

from tsujiban.policy.program import AddressSet, Member, NodeState, Side
from tsujiban.policy.revocation import compile_revocations
from tsujiban.proxy import names, routes
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.reach import egress
from tsujiban.proxy.render import render
from tsujiban.proxy.resource import Kind
from tsujiban.proxy.site import SIDECAR, NodeSite
from tsujiban.resources.kinds.core import ConfigMap


def nearby(world: NodeState, *avoided: str) -> routes.Nearby | None:
    table = egress(world, world.endpoints["default/server"], POD_CIDRS)
    return routes.nearby(table, Peers(world.peers), frozenset(avoided))


def to(*addresses: str) -> NodeState:
    world = state(egress=(rule("e", dst=Side(sets=("some",))),))
    world.sets["some"] = AddressSet(id="some", members=frozenset(map(Member, addresses)))
    return world


def test_few_are_known_beforehand_and_only_those_who_are_there() -> None:
    world = to(CUSTOMER, STRANGER, "10.244.9.9")
    assert nearby(world) == ((CUSTOMER, identity("customer")), (STRANGER, identity("stranger")))
    assert nearby(world, identity("stranger")) == ((CUSTOMER, identity("customer")),)
    assert nearby(to(CUSTOMER, *(f"10.244.9.{number}" for number in range(routes.FEW)))) is None
    assert nearby(to(CUSTOMER, "10.244.9.0/24")) is None
    assert nearby(state()) is None


def test_the_cluster_is_named_by_the_address_and_by_whether_it_is_asked_for() -> None:
    site = NodeSite("/run/netns/a")
    for listed, generation in ((None, names.ASKED), (((SERVER, "i"),), names.LISTED)):
        route, *clusters = routes.resources(site, listed)
        assert (route.kind, route.name) == (Kind.EXTENSION, site.name(names.ROUTE))
        message: Any = route.message()
        assert f"mesh|{generation}|%DOWNSTREAM_LOCAL_ADDRESS".encode() in message.typed_config.value
        expected = [names.mesh_cluster(generation, SERVER)] if listed else []
        assert [one.name for one in clusters] == expected


def test_a_tunnel_expects_the_owner_of_its_address() -> None:
    made = render(to(CUSTOMER), "default/server", POD_CIDRS, SIDECAR).resources[Kind.CLUSTER]
    cluster = made[names.mesh_cluster(names.LISTED, CUSTOMER)]
    assert identity("customer").encode() in cluster.encoded()


def test_nobody_speaks_to_a_revoked_identity() -> None:
    world = to(CUSTOMER, STRANGER)
    endpoint = world.endpoints["default/server"]
    world.endpoints[endpoint.id] = type(endpoint)(
        **{name: getattr(endpoint, name) for name in endpoint.__struct_fields__}
        | {"authorization": ("_mesh/revoked",)}
    )
    form = compile_revocations(ConfigMap(data={"revoked": identity("stranger")}))
    assert form is not None
    world.authorizations["_mesh/revoked"] = form.program
    made = render(world, "default/server", POD_CIDRS, SIDECAR).resources[Kind.CLUSTER]
    assert {name for name in made if names.mesh_address(name)} == {names.mesh_cluster(names.LISTED, CUSTOMER)}
