from __future__ import annotations

from tests.support.proxystate import CUSTOMER, READS, STRANGER, identity, port, rule, state

from tsujiban.policy.program import (
    AuthzAction,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    Direction,
    NodeState,
    Rule,
    Side,
    StringMatch,
)
from tsujiban.proxy.compiler import Compiler


def compiler(world: NodeState, direction: Direction = Direction.INGRESS) -> Compiler:
    return Compiler(world, world.endpoints["default/server"], direction)


def test_whom_a_rule_tells_apart_is_judged_by_himself_and_all_others_once() -> None:
    made = compiler(state(rule("r", src=Side(sets=("clients",)))))
    customer = made.judge(CUSTOMER, identity("customer"))
    stranger = made.judge(STRANGER, identity("stranger"))
    assert (customer.opens, stranger.opens) == (True, False)
    assert made.judge("10.9.9.9", identity("other")) is stranger
    assert made.rest()[4] is stranger.intervals


def test_a_member_is_one_only_with_its_own_identity() -> None:
    made = compiler(state(rule("r", src=Side(sets=("clients",)))))
    assert not made.judge(CUSTOMER, identity("stranger")).opens


def test_identities_that_no_authorization_tells_apart_are_judged_once() -> None:
    world = state(rule("r"), authorization=("z",))
    principal = AuthzSource(principals=(StringMatch(exact="t.example/ns/default/sa/customer"),))
    namespace = AuthzSource(namespaces=(StringMatch(prefix="team-"),))
    rules = (AuthzRule(id="z/0", sources=(principal,)), AuthzRule(id="z/1", sources=(namespace,)))
    world.authorizations["z"] = AuthzProgram(id="z", action=AuthzAction.ALLOW, rules=rules)
    made = compiler(world)
    assert made.judge(CUSTOMER, identity("customer")).opens
    first = made.judge(STRANGER, identity("stranger"))
    assert not first.opens
    assert made.judge("10.9.9.9", identity("other")) is first
    team = made.judge("10.9.9.8", "spiffe://t.example/ns/team-a/sa/x")
    assert team.opens
    assert made.judge("10.9.9.7", "spiffe://t.example/ns/team-b/sa/y") is team


def egress(*rules: Rule) -> Compiler:
    return compiler(state(egress=rules), Direction.EGRESS)


def test_on_the_way_out_only_bytes_open_anything() -> None:
    assert not egress(rule("e", http=READS)).judge(CUSTOMER, identity("customer")).opens
    assert egress(rule("e", http=READS), rule("f", dst=port(80))).judge(CUSTOMER, "").opens
    assert egress(rule("e", src=port(1, 1023))).judge(CUSTOMER, "").opens


def test_it_says_which_sets_it_asks_for() -> None:
    made = compiler(state(rule("r", src=Side(sets=("clients", "gone")))))
    assert made.names == {"clients", "gone"}
