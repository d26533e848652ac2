from __future__ import annotations

from typing import Any

from tests.support.proxystate import READS, rule, state

from tsujiban.policy.program import Authentication, MtlsMode, Side
from tsujiban.proxy import clusters, inbound, names
from tsujiban.proxy.reach import ingress
from tsujiban.proxy.site import SIDECAR


def listener(**program: Any) -> Any:
    world = state(rule("r", http=READS), **program)
    endpoint = world.endpoints["default/server"]
    return inbound.listener(SIDECAR, endpoint, ingress(world, endpoint)).message()


def chains(**program: Any) -> set[str]:
    return {chain.name for chain in listener(**program).filter_chains}


def test_strict_has_a_tunnel_and_a_refusal_and_nothing_else() -> None:
    assert chains() == {"tunnel", "deny:_mesh/strict"}


def test_modes_differ_in_chains_alone_so_that_a_change_ends_no_connection() -> None:
    bodies = []
    for mode in MtlsMode:
        body = listener(authentication=Authentication(mode=mode))
        for field in ("filter_chains", "filter_chain_matcher"):
            body.ClearField(field)
        bodies.append(body)
    assert bodies[0] == bodies[1] == bodies[2]


def test_a_peer_whose_machine_stands_still_is_waited_for_as_long_as_it_waits_itself() -> None:
    """Else its tunnel would be taken for plaintext, and its request for bytes."""
    endpoint = state(named_ports=(("http", 6, 80),)).endpoints["default/server"]
    inner: Any = inbound.inner_listener(SIDECAR, endpoint).message()
    for one in (listener(), inner):
        waits = one.listener_filters_timeout.ToJsonString()
        assert waits == clusters.CONNECT_TIMEOUT


def test_permissive_takes_plaintext_as_policy_admits_it() -> None:
    authentication = Authentication(
        mode=MtlsMode.PERMISSIVE,
        ports={81: MtlsMode.STRICT, 82: MtlsMode.STRICT},
        id="pa",
        port_ids={82: "pa/82"},
    )
    found = chains(authentication=authentication)
    assert found == {"tunnel", "deny:pa", "deny:pa/82", "http:_tier/default"}


def test_a_strict_port_is_strict_in_a_permissive_workload_and_the_other_way_round() -> None:
    strict = chains(authentication=Authentication(ports={81: MtlsMode.DISABLE}, id="pa"))
    assert strict == {"tunnel", "deny:pa", "http:_tier/default"}


def test_ports_that_the_workload_calls_http_are_looked_into() -> None:
    named = (("http", 6, 80), ("grpc-api", 6, 81), ("httpish", 6, 82), ("https", 6, 443), ("http", 17, 83))
    endpoint = state(named_ports=named).endpoints["default/server"]
    assert inbound.declared_http(endpoint) == [80, 81]
    inner: Any = inbound.inner_listener(SIDECAR, endpoint).message()
    assert len(inner.listener_filters) == 2
    assert inner.listener_filters[1].HasField("filter_disabled")
    bare: Any = inbound.inner_listener(SIDECAR, state().endpoints["default/server"]).message()
    assert len(bare.listener_filters) == 1


def test_where_no_port_takes_plaintext_the_filter_of_requests_says_so_and_knows_no_address() -> None:
    def requests(authentication: Authentication) -> bytes:
        world = state(rule("r", src=Side(nets=("192.0.2.0/24",))), authentication=authentication)
        endpoint = world.endpoints["default/server"]
        found = inbound.authorization(SIDECAR, endpoint, ingress(world, endpoint))
        return next(one for one in found if one.name == names.RBAC_HTTP).encoded()

    ports = {81: MtlsMode.STRICT}
    strict = requests(Authentication(id="pa", ports=ports, port_ids={81: "pa/81"}))
    assert b"deny:pa\x10" in strict  # and the next field
    assert b"deny:pa/81" in strict
    open_ = requests(Authentication(id="pa", mode=MtlsMode.PERMISSIVE, ports=ports, port_ids={81: "pa/81"}))
    assert b"deny:pa" not in open_
    assert len(strict) < len(open_)


def test_the_authorization_filters_are_resources_of_their_own() -> None:
    world = state(rule("r"))
    endpoint = world.endpoints["default/server"]
    found = inbound.authorization(SIDECAR, endpoint, ingress(world, endpoint))
    assert [one.name for one in found] == [
        names.OWNERS,
        names.HEADERS,
        names.RBAC_CONNECT,
        names.RBAC_HTTP,
        names.JWT,
    ]
    other = state(rule("other"))
    changed = inbound.authorization(SIDECAR, endpoint, ingress(other, endpoint))
    assert [old.version != new.version for old, new in zip(found, changed, strict=True)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert (
        inbound.inner_listener(SIDECAR, endpoint).version == inbound.inner_listener(SIDECAR, endpoint).version
    )
