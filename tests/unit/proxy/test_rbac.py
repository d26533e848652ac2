from __future__ import annotations

from typing import Any

from tests.support.matching import reached
from tests.support.proxystate import CUSTOMER, POD_CIDRS, READS, identity, port, rule, state

from tsujiban.policy.program import Action, NodeState, Rule, Side
from tsujiban.proxy import matchers, names, rbac
from tsujiban.proxy.matchers import Json
from tsujiban.proxy.reach import egress, ingress
from tsujiban.proxy.table import Interval, Table

CLIENTS = Side(sets=("clients",))


def table(*rules: Rule) -> Table:
    world: NodeState = state(*rules)
    return ingress(world, world.endpoints["default/server"])


def verdict(on_match: Json) -> tuple[str, str]:
    config = on_match["action"]["typed_config"]
    return config["action"], config["name"]


def walk(matcher: Any, *keys: str) -> Json:
    """Follow exact lookups (identity, port) and the only range of each trie."""
    for key in keys:
        tree = matcher["matcher_tree"]
        on_match = tree["exact_match_map"]["map"].get(key, matcher.get("on_no_match"))
        if "matcher" not in on_match:
            return dict(on_match)
        matcher = on_match["matcher"]
        if "custom_match" in matcher.get("matcher_tree", {}):
            ranges = matcher["matcher_tree"]["custom_match"]["typed_config"]["range_matchers"]
            on_match = ranges[0]["on_match"]
            if "matcher" not in on_match:
                return dict(on_match)
            matcher = on_match["matcher"]
    return dict(matcher)


def test_a_tunnel_is_admitted_by_identity_address_and_port() -> None:
    config = rbac.connect_rbac(table(rule("r", src=Side(sets=("clients",)), dst=port(80), http=READS)))
    tree = config["matcher"]
    assert tree["matcher_tree"]["input"]["name"] == "UriSanInput"
    assert verdict(walk(tree, identity("customer"), "80")) == ("ALLOW", "http:_tier/default")
    assert verdict(walk(tree, identity("customer"), "81")) == ("DENY", "deny:_tier/default")
    assert verdict(walk(tree, identity("nobody"), "80")) == ("DENY", f"deny:{names.UNLISTED_RULE}")
    assert names.PLAINTEXT not in tree["matcher_tree"]["exact_match_map"]["map"]


def test_an_identity_from_a_foreign_address_is_refused() -> None:
    tree = rbac.connect_rbac(table(rule("r", src=CLIENTS)))["matcher"]
    by_address = tree["matcher_tree"]["exact_match_map"]["map"][identity("customer")]["matcher"]
    ranges = by_address["matcher_tree"]["custom_match"]["typed_config"]["range_matchers"]
    assert [one["address_prefix"] for one in ranges[0]["ranges"]] == [CUSTOMER]
    assert verdict(by_address["on_no_match"]) == ("DENY", f"deny:{names.UNLISTED_RULE}")


def test_requests_are_asked_in_order_and_default_to_the_last_word() -> None:
    rules = rule("r", src=CLIENTS, dst=port(80), http=READS), rule("s", src=CLIENTS, dst=port(81))
    tree = rbac.http_rbac(table(*rules))["matcher"]
    asked = walk(tree, identity("customer"), "80")
    assert verdict(asked["matcher_list"]["matchers"][0]["on_match"]) == ("ALLOW", "http:r")
    assert verdict(asked["on_no_match"]) == ("DENY", "deny:_tier/default")
    assert verdict(walk(tree, identity("customer"), "81")) == ("ALLOW", "http:s")
    assert names.PLAINTEXT in tree["matcher_tree"]["exact_match_map"]["map"]


def test_wide_port_ranges_are_expressions_and_narrow_ones_are_listed() -> None:
    rows = table(
        rule("wide", src=CLIENTS, dst=port(1024, 9000)), rule("narrow", src=CLIENTS, dst=port(80, 82))
    )
    intervals: tuple[Interval, ...] = rows.rows[identity("customer")][0].intervals
    tree = rbac.by_port(intervals, rbac.admission(rbac.connect_verdict))["matcher"]
    assert set(tree["matcher_tree"]["exact_match_map"]["map"]) == {"80", "81", "82"}
    wide = tree["on_no_match"]["matcher"]
    assert verdict(wide["matcher_list"]["matchers"][0]["on_match"]) == ("ALLOW", "tcp:wide")
    assert verdict(wide["on_no_match"])[0] == "DENY"


def test_a_source_port_is_asked_for_on_the_way() -> None:
    low = Side(sets=CLIENTS.sets, ports=port(1, 1023).ports)
    tree = rbac.connect_rbac(table(rule("r", src=low)))["matcher"]
    asked = walk(tree, identity("customer"))
    assert verdict(asked["matcher_list"]["matchers"][0]["on_match"]) == ("ALLOW", "tcp:r")


def crowd(config: Json, proven: str, source: str, **inputs: str) -> tuple[str, str]:
    """What a filter says of a client: `inputs` are what else it sees, by the inputs' names."""
    seen = {"SourceIPInput": source, "DestinationPortInput": "80", "UriSanInput": proven, **inputs}
    found = reached(config["matcher"], seen.__getitem__)
    assert found is not None
    return found["action"], found["name"]


def test_whoever_owns_his_address_is_one_of_the_crowd_that_his_identity_is_in() -> None:
    config = rbac.connect_rbac(table(rule("no", Action.DENY, src=CLIENTS), rule("r")))
    owns, does_not = {"DynamicMetadataInput": names.YES}, {"DynamicMetadataInput": ""}
    assert crowd(config, identity("new"), "10.244.9.9", **owns) == ("ALLOW", "tcp:r")
    assert crowd(config, identity("new"), "10.244.9.9", **does_not) == ("DENY", rbac.UNLISTED)
    assert crowd(config, identity("customer"), CUSTOMER, **owns) == ("DENY", "deny:no")
    foreign = identity("new").replace("t.example", "evil.example")
    assert crowd(config, foreign, "10.244.9.9", **owns) == ("DENY", rbac.UNLISTED)


def test_what_has_come_out_of_a_tunnel_was_found_to_own_its_address_before() -> None:
    config = rbac.http_rbac(table(rule("r")))
    assert crowd(config, "", "10.244.9.9", FilterStateInput=identity("new")) == ("ALLOW", "http:r")
    assert crowd(config, "", "10.244.9.9", FilterStateInput="-") == ("DENY", rbac.UNLISTED)


def test_the_egress_filter_names_its_rule_through_its_shadow_and_allows_what_that_allows() -> None:
    world = state(egress=(rule("e", http=READS), rule("f", dst=port(80))))
    config = rbac.egress_rbac(egress(world, world.endpoints["default/server"], POD_CIDRS))
    assert "matcher" not in config
    assert config["rules"]["action"] == "ALLOW"
    (policy,) = config["rules"]["policies"].values()
    (said,) = policy["permissions"]
    assert said["metadata"]["value"] == {"string_match": {"exact": "allowed"}}
    assert "shadow_rules_stat_prefix" not in config  # it would be in the name of the shadow's word
    text = str(config["shadow_matcher"])
    assert "tcp:f" in text
    assert "'ALLOW'" in text
    assert "http:" not in text  # what only an HTTP clause allows is refused at the client


def test_where_no_plaintext_is_taken_nothing_is_asked_of_its_address() -> None:
    refused = matchers.rbac_action("deny:strict", allow=False)
    config = rbac.http_rbac(table(rule("r")), strict=refused)
    for source in (CUSTOMER, "192.0.2.1"):
        assert crowd(config, "", source, FilterStateInput=names.PLAINTEXT) == ("DENY", "deny:strict")
    assert crowd(config, "", "10.244.9.9", FilterStateInput=identity("new")) == ("ALLOW", "http:r")


def test_serial_numbers_that_are_not_taken_are_looked_up_first_in_either_spelling() -> None:
    tree = rbac.by_serial(frozenset({"abc", "12"}), matchers.rbac_action("x", allow=True))
    listed = tree["matcher"]["matcher_tree"]["exact_match_map"]["map"]
    assert sorted(listed) == ["0abc", "12", "abc"]
    assert {one["action"]["typed_config"]["name"] for one in listed.values()} == {"deny:_mesh/revoked"}
    assert rbac.by_serial(frozenset(), tree) == tree


def test_a_pod_that_takes_no_tunnel_says_why_and_asks_nothing() -> None:
    matcher = rbac.ended_rbac()["matcher"]
    assert list(matcher) == ["on_no_match"]
    assert "deny:_mesh/ending" in str(matcher)
