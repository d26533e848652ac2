from __future__ import annotations

from typing import Any

import msgspec
from tests.support.proxystate import CUSTOMER, POD_CIDRS, READS, SERVER, identity, port, rule, state

from tsujiban.policy.program import (
    Action,
    Backend,
    Mesh,
    NodeState,
    Peer,
    PortRange,
    Ports,
    ServicePort,
    ServiceProgram,
    Side,
)
from tsujiban.proxy import names, rbac
from tsujiban.proxy.render import render
from tsujiban.proxy.resource import Kind, Resource

HTTP = PortRange(first=80, last=80)


def resources(world: NodeState) -> dict[str, Resource]:
    found = render(world, "default/server", POD_CIDRS).resources
    return {f"{kind.name} {name}": one for kind in Kind for name, one in found[kind].items()}


def chains(world: NodeState, listener: str) -> set[str]:
    message: Any = resources(world)[f"LISTENER {listener}"].message()
    return {chain.name for chain in message.filter_chains}


def test_every_kind_of_destination_has_its_chain() -> None:
    inner = {"self", names.PASSTHROUGH, names.MESH, rbac.UNLISTED}
    world = state(egress=(rule("no", Action.DENY, dst=Side(nets=("10.244.8.0/24",))), rule("e")))
    assert chains(world, names.OUTBOUND_INNER) == inner
    assert chains(world, names.OUTBOUND) == inner | {names.SERVICES}


def test_a_denied_destination_is_closed_before_anything_is_sent() -> None:
    found = chains(state(egress=(rule("e", dst=port(80)),)), names.OUTBOUND)
    assert "deny:_tier/default" in found


def test_what_only_an_http_clause_allows_is_refused_at_the_client() -> None:
    found = chains(state(egress=(rule("e", http=READS),)), names.OUTBOUND_INNER)
    assert found == {"self", "deny:_tier/default", f"deny:{names.UNLISTED_RULE}"}


def test_neither_those_whom_policy_denies_nor_those_whom_it_allows_cost_a_listener_anything() -> None:
    for world in (
        state(),
        state(egress=(rule("e", dst=Side(sets=("clients",), ports=Ports(ranges=(HTTP,)))),)),
    ):
        found = resources(world)
        more = msgspec.json.decode(msgspec.json.encode(world), type=NodeState)
        for number in range(50):
            address = f"10.244.9.{number}"
            more.peers[address] = Peer(
                address=address, endpoint=address, identity=identity(address), mesh=Mesh.SIDECAR
            )
        assert {name: one.version for name, one in resources(more).items() if "rbac-" not in name} == {
            name: one.version for name, one in found.items() if "rbac-" not in name
        }


def test_a_service_none_of_whose_backends_may_be_reached_is_refused_with_all_others() -> None:
    world = state(egress=(rule("e", dst=Side(nets=("192.0.2.0/24",))),))
    world.services.clear()
    for name, backend in (("a", CUSTOMER), ("b", "192.0.2.1"), ("c", "10.244.77.7"), ("e", SERVER)):
        port = ServicePort(protocol=6, port=80, backends=(Backend(address=backend, port=80),))
        world.services[name] = ServiceProgram(id=name, addresses=(f"10.96.1.{ord(name)}",), ports=(port,))
    empty = ServicePort(protocol=6, port=80)
    world.services["d"] = ServiceProgram(id="d", addresses=("10.96.1.4",), ports=(empty,))
    found = chains(world, names.OUTBOUND)
    assert names.SERVICES in found
    clusters = render(world, "default/server", POD_CIDRS).resources[Kind.CLUSTER]
    assert {name for name in clusters if name.startswith(names.SERVICE_CLUSTER)} == {
        names.service_cluster(names.LISTED, f"{one.addresses[0]}:80")
        for name, one in world.services.items()
        if name in "bde"
    }
    listed = rbac.UNLISTED in chains(world, names.OUTBOUND)
    text = str(resources(world)[f"LISTENER {names.OUTBOUND}"].message())
    assert listed
    assert f"10.96.1.{ord('a')}" in text


def test_each_service_port_has_its_endpoints() -> None:
    found = resources(state())
    service = names.service_cluster(names.LISTED, "10.96.0.9:80")
    assert {f"CLUSTER {service}", f"ENDPOINT {service}"} <= found.keys()
    assert found[f"EXTENSION {names.RBAC_EGRESS}"].kind is Kind.EXTENSION


def test_a_change_of_rules_alone_changes_no_listener() -> None:
    before = resources(state())
    world = state()
    world.policies["all"] = world.policies["all"].__class__(
        id="all", ingress=(rule("x"),), egress=(rule("y"),)
    )
    after = resources(world)
    for listener in (names.OUTBOUND, names.OUTBOUND_INNER):
        assert before[f"LISTENER {listener}"].version == after[f"LISTENER {listener}"].version
    egress_filter = f"EXTENSION {names.RBAC_EGRESS}"
    assert before[egress_filter].version != after[egress_filter].version
