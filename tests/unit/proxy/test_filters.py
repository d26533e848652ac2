from __future__ import annotations

from tsujiban.proxy import filters, names
from tsujiban.proxy.site import SIDECAR


def test_what_crosses_into_an_internal_listener_is_never_pooled_with_another_s() -> None:
    value = filters.state_value("k", "%X%")
    assert value["factory_key"] == "envoy.hashable_string"
    assert value["shared_with_upstream"] == "ONCE"
    assert value["read_only"] is True


def test_addresses_are_of_their_own_kind_and_cross_over() -> None:
    for value in filters.addresses_state():
        assert "factory_key" not in value
        assert value["shared_with_upstream"] == "ONCE"


def test_a_refusal_closes_and_names_its_rule() -> None:
    chain = filters.refusal("n", "deny:r")
    state, close = chain["filters"]
    setting = state["typed_config"]["on_new_connection"][0]
    assert setting["object_key"] == names.DECISION_STATE
    assert setting["format_string"]["text_format_source"]["inline_string"] == "deny:r"
    assert close["typed_config"]["@type"].endswith("direct_response.v3.Config")


def test_logs_go_to_the_agent_with_who_and_why() -> None:
    for http in (False, True):
        common = filters.access_log(SIDECAR, "x", http=http)[0]["typed_config"]["common_config"]
        assert common["grpc_service"]["envoy_grpc"]["cluster_name"] == names.AGENT_CLUSTER
        assert {names.PEER_STATE, names.DECISION_STATE} <= set(common["filter_state_objects_to_log"])


def test_a_discovered_filter_passes_nothing_until_it_is_there() -> None:
    discovery = filters.discovered(SIDECAR, "n", "some.Message")["config_discovery"]
    assert "default_config" not in discovery
    assert not discovery.get("apply_default_config_without_warming")
    assert discovery["config_source"]["initial_fetch_timeout"] == "0s"
