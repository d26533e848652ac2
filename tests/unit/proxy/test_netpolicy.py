from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from tests.support.proxystate import READS, flow, port, rule, state, tier

from tsujiban.policy.program import (
    Action,
    Direction,
    Http,
    Icmp,
    NodeState,
    PolicyProgram,
    Ports,
    Rule,
    Side,
)
from tsujiban.proxy import paths
from tsujiban.proxy.decisions import AllOf, Branch, Decision, Leaf, Not, SourcePort, Text
from tsujiban.proxy.netpolicy import Flow, NetworkPolicy, http

DENIED = Leaf(allow=False, rules=("_tier/default",))


def decide(world: NodeState, asked: Flow | None = None, direction: Direction = Direction.INGRESS) -> Decision:
    return NetworkPolicy(world, world.endpoints["default/server"], direction).decide(asked or flow())


def allowed(name: str) -> Leaf:
    return Leaf(allow=True, rules=(name,))


CLIENTS = frozenset({"clients"})
CLAUSES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"protocols": (6, 17)}, {}, True),
    ({"protocols": (17,)}, {}, False),
    ({"not_protocols": (6,)}, {}, False),
    ({"not_protocols": (17,)}, {}, True),
    ({"ip_version": 4}, {}, True),
    ({"ip_version": 6}, {}, False),
    ({"icmp": Icmp(type=8)}, {}, False),
    ({"not_icmp": Icmp(type=8)}, {}, True),
    ({"src": Side(nets=("n",))}, {"nets": frozenset({"n"})}, True),
    ({"src": Side(nets=("n",))}, {}, False),
    ({"src": Side(nets=())}, {}, False),
    ({"src": Side(not_nets=("n",))}, {"nets": frozenset({"n"})}, False),
    ({"src": Side(not_nets=("n",))}, {}, True),
    ({"src": Side(sets=("clients",))}, {"owned": CLIENTS, "seen": CLIENTS}, True),
    ({"src": Side(sets=("clients",))}, {"seen": CLIENTS}, False),
    ({"src": Side(not_sets=("clients",))}, {"owned": CLIENTS, "seen": CLIENTS}, False),
    ({"src": Side(not_sets=("clients",))}, {}, True),
    ({"src": Side(sets=("gone",))}, {}, False),
    ({"src": Side(not_sets=("gone",))}, {}, False),
    ({"dst": port(80)}, {}, True),
    ({"dst": port(81)}, {}, False),
    ({"dst": port(79, 81)}, {}, True),
    ({"dst": Side(not_ports=port(80).ports)}, {}, False),
    ({"dst": Side(not_ports=port(81).ports)}, {}, True),
    ({"dst": Side(services=("gone",))}, {}, False),
    ({"dst": Side(ports=Ports(named=("gone",)))}, {}, False),
    ({"dst": Side(not_ports=Ports(named=("gone",)))}, {}, False),
]


@pytest.mark.parametrize(("clauses", "source", "matches"), CLAUSES)
def test_each_clause(clauses: dict[str, Any], source: dict[str, Any], matches: bool) -> None:
    decision = decide(state(rule("r", **clauses)), flow(80, **source))
    assert decision == (allowed("r") if matches else DENIED)


@pytest.mark.parametrize(
    "clauses",
    [
        {"src": Side(sets=("gone",))},
        {"src": Side(not_sets=("gone",))},
        {"dst": Side(services=("gone",))},
        {"dst": Side(ports=Ports(named=("gone",)))},
        {"dst": Side(not_ports=Ports(named=("gone",)))},
    ],
)
def test_a_missing_set_satisfies_a_rule_that_denies(clauses: dict[str, Any]) -> None:
    world = state(rule("no", Action.DENY, **clauses), rule("yes"))
    assert decide(world) == Leaf(allow=False, rules=("no",))


def test_egress_goes_by_addresses_alone() -> None:
    world = state(egress=(rule("r", src=Side(sets=("clients",))),))
    one = flow(80, seen=frozenset({"clients"}))
    assert decide(world, one, Direction.EGRESS) == allowed("r")


def test_first_match_decides_log_goes_on_and_the_tier_has_the_last_word() -> None:
    assert decide(state(rule("l", Action.LOG), rule("a"), rule("b", Action.DENY))) == allowed("a")
    assert decide(state(rule("a", dst=port(1)))) == DENIED


def test_pass_goes_to_the_next_tier_and_from_the_last_to_the_profiles() -> None:
    world = state(rule("go", Action.PASS), ingress=(tier("p", name="one"), tier("q", name="two")))
    world.policies["q"] = PolicyProgram(id="q", ingress=(rule("q"),))
    assert decide(world) == allowed("q")
    world.policies["q"] = PolicyProgram(id="q", ingress=(rule("on", Action.PASS),))
    assert decide(world) == allowed("all/in")


def test_a_tier_whose_policies_are_all_staged_does_not_count() -> None:
    world = state(rule("no", Action.DENY))
    world.policies["p"] = PolicyProgram(id="p", staged=True, ingress=(rule("no", Action.DENY),))
    assert decide(world) == allowed("all/in")


EARLY = PolicyProgram(id="early", apply_on_forward=True, ingress=(rule("all"),))


@pytest.mark.parametrize(
    "early", [structs.replace(EARLY, pre_dnat=True), structs.replace(EARLY, do_not_track=True)]
)
@pytest.mark.parametrize("staged", [False, True])
def test_what_acts_before_tracking_or_translation_does_not_count(early: PolicyProgram, staged: bool) -> None:
    world = state(rule("a", dst=port(1)), ingress=(tier("early", "p"),))
    world.policies["early"] = early
    server = world.endpoints["default/server"]
    assert NetworkPolicy(world, server, Direction.INGRESS, staged=staged).decide(flow()) == DENIED
    alone = state(ingress=(tier("early"),))
    alone.policies["early"] = structs.replace(early, ingress=(rule("no", Action.DENY),))
    assert decide(alone) == allowed("all/in")


def test_a_tier_that_passes_by_default_leads_on() -> None:
    world = state(rule("a", dst=port(1)), ingress=(tier("p", default=Action.PASS),))
    assert decide(world) == allowed("all/in")


def test_missing_policies_and_profiles_deny() -> None:
    world = state(rule("a"), ingress=(tier("p", "lost"),))
    assert decide(world) == DENIED
    bare = state()
    del bare.policies["all"]
    assert decide(bare) == Leaf(allow=False, rules=("_profile/none",))


def test_a_source_port_is_left_to_envoy() -> None:
    decision = decide(state(rule("r", src=port(1, 1023))))
    assert decision == Branch(test=SourcePort(first=1, last=1023), then=allowed("r"), otherwise=DENIED)
    assert decide(state(rule("r", src=port(0, 65535)))) == allowed("r")
    without = decide(state(rule("r", src=Side(not_ports=port(9).ports))))
    assert isinstance(without, Branch)
    assert without.test == Not(term=SourcePort(first=9, last=9))


def test_an_http_clause_branches_and_a_path_wants_to_be_unambiguous() -> None:
    decision = decide(state(rule("r", http=READS)))
    assert isinstance(decision, Branch)
    assert isinstance(decision.test, AllOf)
    assert decision.test.terms[0] == Text(header=":method", exact="GET")
    assert decision.test.terms[-1] == Not(term=paths.AMBIGUOUS)
    assert (decision.then, decision.otherwise) == (allowed("r"), DENIED)


def test_on_the_way_out_a_rule_with_an_http_clause_matches_nothing() -> None:
    """Found by a random world: it hid from what followed, so that a refusal cited another rule than the
    evaluator's."""
    low = rule("low", Action.DENY, src=port(1, 1023))
    rules = tuple(rule("r", action, http=Http()) for action in (Action.ALLOW, Action.DENY))
    decision = decide(state(egress=(*rules, low)), direction=Direction.EGRESS)
    assert decision == decide(state(egress=(low,)), direction=Direction.EGRESS)


def test_an_empty_http_clause_still_wants_http() -> None:
    assert http(Http()) == paths.HTTP
    assert http(Http(methods=("*",))) == paths.HTTP
    assert http(None) is True


def test_rules_that_can_decide_are_listed_in_order() -> None:
    world = state(rule("l", Action.LOG), rule("a"))
    policy = NetworkPolicy(world, world.endpoints["default/server"], Direction.INGRESS)
    found: list[Rule] = list(policy.rules())
    assert [one.id for one in found] == ["a", "all/in"]
