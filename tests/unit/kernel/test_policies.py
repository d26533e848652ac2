"""The shape of the chains; what they decide is compared with the evaluator on real packets."""

from __future__ import annotations

import re

from tsujiban.kernel.policies import PolicyChains, PolicyMemory, of_pod
from tsujiban.kernel.sets import SetMemory, TableSets
from tsujiban.kernel.table import Table
from tsujiban.kernel.verdicts import Logging, Verdicts
from tsujiban.policy.program import (
    Action,
    AddressSet,
    Direction,
    EndpointProgram,
    Http,
    Mesh,
    NodeState,
    PolicyProgram,
    Rule,
    Side,
    Tier,
)

GET = Http(methods=("GET",))


class Rendered:
    """One endpoint's ingress, and its chains in words: verdict chains become LETTER:rule."""

    def __init__(self, state: NodeState, *endpoints: EndpointProgram) -> None:
        self.table = Table("t")
        verdicts = Verdicts(self.table, Logging())
        sets = TableSets(state, self.table, SetMemory())
        self.chains = PolicyChains(state, self.table, sets, verdicts, PolicyMemory())
        self.names = [self.chains.endpoint(one, of_pod(one, Direction.INGRESS, False)) for one in endpoints]
        self._words = {
            chain.name: f"{verdicts.keys[counter[1]].letter}:{verdicts.keys[counter[1]].rule}"
            for chain in self.table.chains.values()
            if chain.name.startswith("verdict") and (counter := re.search(r'"(.*)"', chain.rules[0]))
        }

    def steps(self, name: str) -> list[str]:
        """The rules of a chain, jumps to policies and tiers followed."""
        found = []
        for rule in self.table.chains[name].rules:
            word = re.sub(r"(goto|jump) (verdict-\S+)", lambda m: self._words[m[2]], rule)
            jump = re.fullmatch(r"jump (\S+)", word)
            found += self.steps(jump[1]) if jump else [re.sub(r"-[0-9a-f]{16}", "", word)]
        return found


def rule(number: int, action: Action = Action.ALLOW, http: Http | None = None, src: Side = Side()) -> Rule:  # noqa: B008 - immutable
    return Rule(id=f"p/ingress/{number}", action=action, protocols=(6,), http=http, src=src)


def policy(*rules: Rule, name: str = "p", staged: bool = False) -> PolicyProgram:
    return PolicyProgram(id=name, ingress=rules, staged=staged)


def endpoint(
    *tiers: Tier, mesh: Mesh = Mesh.NONE, name: str = "default/a", profiles: tuple[str, ...] = ()
) -> EndpointProgram:
    return EndpointProgram(id=name, node="n", ingress=tiers, mesh=mesh, profiles=profiles)


def tier(*policies: str, default: Action = Action.DENY) -> Tier:
    return Tier(name="t", default_action=default, default_id="_tier/t", policies=policies)


def steps(state: NodeState, one: EndpointProgram) -> list[str]:
    made = Rendered(state, one)
    return made.steps(made.names[0])


CLEAR = "meta mark set meta mark & 0xbfffffff"
PASSED = f"meta mark & 0x40000000 == 0x40000000 {CLEAR}"


def test_rules_then_the_tiers_default() -> None:
    state = NodeState(policies={"p": policy(rule(0), rule(1, Action.DENY), rule(2, Action.LOG))})
    assert steps(state, endpoint(tier("p"))) == [
        "meta l4proto 6 A:p/ingress/0",
        "meta l4proto 6 D:p/ingress/1",
        "meta l4proto 6 L:p/ingress/2",
        "D:_tier/t",
        "D:_profile/none",
    ]


def test_pass_is_looked_for_where_it_can_happen() -> None:
    state = NodeState(policies={"p": policy(rule(0, Action.PASS))})
    assert steps(state, endpoint(tier("p"))) == [
        "meta l4proto 6 P:p/ingress/0",
        f"{PASSED} return",
        "D:_tier/t",
        "D:_profile/none",
    ]


def test_a_default_pass_counts_and_goes_on() -> None:
    state = NodeState(policies={"p": policy(rule(0))})
    found = steps(state, endpoint(tier("p", default=Action.PASS)))
    assert found == ["meta l4proto 6 A:p/ingress/0", 'counter name "count"', "D:_profile/none"]


def test_staged_policies_decide_nothing_and_do_not_count() -> None:
    rules = (rule(0), rule(1, Action.DENY), rule(2, Action.PASS), rule(3, Action.LOG))
    state = NodeState(policies={"p": policy(*rules, staged=True)})
    assert steps(state, endpoint(tier("p"))) == [
        "meta l4proto 6 a:p/ingress/0",
        "meta l4proto 6 d:p/ingress/1",
        "meta l4proto 6 p:p/ingress/2",
        "meta l4proto 6 l:p/ingress/3",
        "D:_profile/none",
    ]


def test_http_clauses_behind_a_proxy_may_only_open() -> None:
    rules = [
        rule(n, action, GET) for n, action in enumerate((Action.ALLOW, Action.DENY, Action.PASS, Action.LOG))
    ]
    state = NodeState(policies={"p": policy(*rules)})
    found = steps(state, endpoint(tier("p"), mesh=Mesh.SIDECAR))
    assert [step for step in found if "p/ingress" in step] == ["meta l4proto 6 A:p/ingress/0"]


def test_http_clauses_without_a_proxy_never_match() -> None:
    rules = [
        rule(n, action, GET) for n, action in enumerate((Action.ALLOW, Action.DENY, Action.PASS, Action.LOG))
    ]
    state = NodeState(policies={"p": policy(*rules)})
    assert [step for step in steps(state, endpoint(tier("p"))) if "p/ingress" in step] == []


def test_http_runs_over_tcp_only() -> None:
    state = NodeState(policies={"p": policy(Rule(id="p/ingress/0", action=Action.ALLOW, http=GET))})
    assert steps(state, endpoint(tier("p"), mesh=Mesh.SIDECAR))[0] == "meta l4proto 6 A:p/ingress/0"
    udp = Rule(id="p/ingress/0", action=Action.ALLOW, http=GET, protocols=(17,))
    assert (
        steps(NodeState(policies={"p": policy(udp)}), endpoint(tier("p"), mesh=Mesh.SIDECAR))[0]
        == "D:_tier/t"
    )


def test_a_missing_policy_denies_before_anything_of_its_tier() -> None:
    state = NodeState(policies={"p": policy(rule(0))})
    made = Rendered(state, endpoint(tier("p", "absent")))
    assert made.steps(made.names[0]) == ["D:_tier/t", "D:_profile/none"]
    assert [*made.chains.problems] == ["policy absent is missing: what reaches it is denied"]


def test_a_missing_profile_denies() -> None:
    state = NodeState(policies={"p": policy(rule(0)), "q": policy(rule(1), name="q")})
    found = steps(state, endpoint(profiles=("p", "absent", "q")))
    assert found == ["meta l4proto 6 A:p/ingress/0", "D:_profile/none"]


def test_a_missing_set_is_a_problem() -> None:
    src = Side(sets=("absent",))
    state = NodeState(policies={"p": policy(rule(0, src=src), rule(1, Action.DENY, src=src))})
    made = Rendered(state, endpoint(tier("p")))
    assert made.steps(made.names[0])[:2] == [
        "meta nfproto ipv4 meta l4proto 6 D:p/ingress/1",
        "meta nfproto ipv6 meta l4proto 6 D:p/ingress/1",
    ]
    assert "rule p/ingress/1: set absent is missing: the rule fails closed" in made.chains.problems


def test_policies_and_tiers_are_shared() -> None:
    state = NodeState(
        policies={"p": policy(rule(0)), "q": policy(rule(1, http=GET), name="q")},
        sets={"x": AddressSet(id="x")},
    )
    made = Rendered(
        state,
        endpoint(tier("p"), name="default/a"),
        endpoint(tier("p"), name="default/b", mesh=Mesh.SIDECAR),
        endpoint(tier("q"), name="default/c"),
        endpoint(tier("q"), name="default/d", mesh=Mesh.SIDECAR),
    )
    policies = [name for name in made.table.chains if name.startswith("policy")]
    assert len(policies) == 3  # p once; q with and without a proxy
