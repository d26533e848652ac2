from __future__ import annotations

import json

import pytest
from tests.support.proxystate import POD_CIDRS, READS, rule, state

from tsujiban.proxy import names
from tsujiban.proxy.render import render
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import NAMESPACE_STATE, PROXY_MARK, SIDECAR, NodeSite

HERE = NodeSite(namespace="/run/netns/tsj-x-p-1")
THERE = NodeSite(namespace="/run/netns/tsj-x-p-2")
PREFIX = "pod:tsj-x-p-1|"


def resources(site: NodeSite) -> dict[tuple[Kind, str], Resource]:
    rendered = render(state(rule("r", http=READS)), "default/server", POD_CIDRS, site).resources
    return {(kind, name): one for kind, found in rendered.items() for name, one in found.items()}


def test_two_endpoints_of_one_envoy_share_only_what_is_the_same_for_both() -> None:
    here, there = resources(HERE), resources(THERE)
    shared = here.keys() & there.keys()
    assert {kind for kind, _ in shared} == {Kind.CLUSTER}
    assert all(here[key].version == there[key].version for key in shared)
    assert {names.owner(name) for _, name in here.keys() - shared} == {PREFIX}


def test_nothing_of_an_endpoint_refers_to_another_name_than_its_own_or_a_shared_one() -> None:
    plain = render(state(rule("r", http=READS)), "default/server", POD_CIDRS).resources
    own = {names.INBOUND_INNER, names.OUTBOUND_INNER, *plain[Kind.EXTENSION], *plain[Kind.ENDPOINT]}
    text = json.dumps([str(one.message()) for one in resources(HERE).values()])
    assert not any(f'\\"{name}\\"' in text for name in own)


def test_listeners_are_in_the_endpoints_namespace_and_marked() -> None:
    for name in (names.INBOUND, names.OUTBOUND):
        listener = str(resources(HERE)[Kind.LISTENER, PREFIX + name].message())
        assert f'network_namespace_filepath: "{HERE.namespace}"' in listener
        assert f"int_value: {PROXY_MARK}" in listener


def test_what_leaves_says_from_which_namespace_by_a_value_that_is_part_of_the_pools_hash() -> None:
    for name in (names.INBOUND_INNER, names.OUTBOUND, names.OUTBOUND_INNER):
        listener = str(resources(HERE)[Kind.LISTENER, PREFIX + name].message())
        assert NAMESPACE_STATE in listener
        assert "envoy.string" not in listener
        assert listener.count("factory_key") == listener.count('factory_key: "envoy.hashable_string"')


@pytest.mark.parametrize("name", [names.APP, names.PASSTHROUGH])
def test_every_way_out_takes_its_namespace_from_the_connection(name: str) -> None:
    cluster = str(resources(HERE)[Kind.CLUSTER, name].message())
    assert "filter_state_override" in cluster
    assert f"int_value: {PROXY_MARK}" in cluster


def test_a_sidecars_names_and_sockets_are_plain() -> None:
    assert SIDECAR.name("x") == "x"
    assert SIDECAR.leaves() == []
    assert SIDECAR.binds() == {}
