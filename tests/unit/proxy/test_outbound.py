from __future__ import annotations

from typing import Any

from tests.support.proxystate import POD_CIDRS, READS, identity, port, rule, state

from tsujiban.policy.program import NodeState
from tsujiban.proxy import names, outbound
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import SIDECAR
from tsujiban.proxy.table import egress


def resources(world: NodeState) -> dict[str, Resource]:
    endpoint = world.endpoints["default/server"]
    found = outbound.resources(SIDECAR, world, endpoint, egress(world, endpoint, POD_CIDRS), POD_CIDRS)
    return {f"{one.kind.name} {one.name}": one for one in found}


def chains(world: NodeState, listener: str) -> set[str]:
    message: Any = resources(world)[f"LISTENER {listener}"].message()
    return {chain.name for chain in message.filter_chains}


def test_every_kind_of_destination_has_its_chain() -> None:
    inner = {
        "self",
        names.PASSTHROUGH,
        f"deny:{names.UNKNOWN_RULE}",
        *(names.mesh_cluster(identity(name)) for name in ("server", "customer", "stranger")),
    }
    assert chains(state(), names.OUTBOUND_INNER) == inner
    assert chains(state(), names.OUTBOUND) == inner | {names.service_cluster("default/server", 80)}


def test_a_denied_destination_is_closed_before_anything_is_sent() -> None:
    found = chains(state(egress=(rule("e", dst=port(80)),)), names.OUTBOUND)
    assert "deny:_tier/default" in found


def test_what_only_an_http_clause_allows_is_refused_at_the_client() -> None:
    found = chains(state(egress=(rule("e", http=READS),)), names.OUTBOUND_INNER)
    assert found == {"self", "deny:_tier/default", f"deny:{names.UNKNOWN_RULE}"}


def test_each_identity_has_a_cluster_and_each_service_port_its_endpoints() -> None:
    found = resources(state())
    for name in ("server", "customer", "stranger"):
        assert f"CLUSTER {names.mesh_cluster(identity(name))}" in found
    service = names.service_cluster("default/server", 80)
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
