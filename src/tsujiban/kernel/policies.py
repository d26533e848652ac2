"""Policies, tiers and endpoints as chains.

    endpoint ─jump→ tier (in order) ─jump→ policy ─goto→ verdict
                                                     accept, drop: the direction is decided
                                                     pass: mark, back to the tier, back to the endpoint
             ─jump→ profiles, in order
             ─goto→ deny

Policy and tier chains are shared by all endpoints that see them alike. A direction has its own
base chain, so that `accept` ends that direction and not the packet's way.

**HTTP clauses.** The kernel cannot see a request. Where the endpoint's proxy will see it (TCP, at
the destination, in the mesh), an Allow with an HTTP clause lets pass what its layer 3 and 4 part
matches, since some request may match, and the proxy decides. Deny, Pass and Log with one are gone
past: whether they apply is for the proxy to say, and what later rules say of a request that they
do not match is what the proxy may allow. Where no proxy will see it, no HTTP clause ever matches.

**What is missing denies.** A clause whose set the state does not hold fails an Allow or Pass, and
is satisfied in a Deny; a tier with a policy that the state does not hold takes a deny as its first
step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import structs

from tsujiban.kernel.clauses import matches
from tsujiban.kernel.names import name
from tsujiban.kernel.sets import Recorder, TableSets, ask
from tsujiban.kernel.table import Chain, Table
from tsujiban.kernel.verdicts import CLEAR, TEST_PASS, Letter, RuleKey, Verdicts
from tsujiban.policy.program import (
    Action,
    Direction,
    EndpointProgram,
    Mesh,
    NodeState,
    PolicyProgram,
    Rule,
    Tier,
)

_TCP = 6
_ENFORCED = {
    Action.ALLOW: Letter.ALLOW,
    Action.DENY: Letter.DENY,
    Action.PASS: Letter.NEXT,
    Action.LOG: Letter.LOG,
}
_STAGED = {
    Action.ALLOW: Letter.STAGED_ALLOW,
    Action.DENY: Letter.STAGED_DENY,
    Action.PASS: Letter.STAGED_NEXT,
    Action.LOG: Letter.STAGED_LOG,
}


def rules_of(policy: PolicyProgram, direction: Direction) -> tuple[Rule, ...]:
    """The policy's rules for one direction."""
    return policy.ingress if direction is Direction.INGRESS else policy.egress


@dataclass(frozen=True)
class _Kept:
    """A policy's chain, and what has to be so for it to be right again."""

    policy: PolicyProgram
    chain: Chain
    asked: tuple[tuple[str, tuple[Any, ...], str | None], ...]
    verdicts: tuple[tuple[Letter, str], ...]


PolicyMemory = dict[tuple[str, Direction, bool], _Kept]


class PolicyChains:
    """Makes chains of `table` for the endpoints of `state`. `memory` spares policies that did not change."""

    def __init__(
        self, state: NodeState, table: Table, sets: TableSets, verdicts: Verdicts, memory: PolicyMemory
    ) -> None:
        self._memory = memory
        self._policies = state.policies
        self._table = table
        self._sets = sets
        self._verdicts = verdicts
        self.problems: dict[str, None] = {}  # in order of discovery

    def endpoint(self, endpoint: EndpointProgram, direction: Direction) -> str:
        """The name of the chain that decides one direction of `endpoint`; it always decides."""
        proxied = direction is Direction.INGRESS and endpoint.mesh is not Mesh.NONE
        refuse = self._verdicts.goto(Letter.DENY, direction, endpoint.no_profile_id)
        rules = [
            f"jump {self._tier(tier, direction, proxied)}"
            for tier in (endpoint.ingress if direction is Direction.INGRESS else endpoint.egress)
        ]
        for profile_id in endpoint.profiles:
            profile = self._policies.get(profile_id)
            if profile is None:
                self._missing(profile_id)
                break
            # after the tiers there is nothing to pass on to but the next profile
            rules += self._steps(profile, direction, proxied, CLEAR)
        rules.append(refuse)
        return self._table.add(Chain(name("endpoint", direction, endpoint.id), tuple(rules)))

    def _tier(self, tier: Tier, direction: Direction, proxied: bool) -> str:
        key = (str(proxied), tier.name, tier.default_action, tier.default_id, *tier.policies)
        chain = name("tier", direction, *key)
        if chain in self._table.chains:
            return chain
        rules: list[str] = []
        counts = False
        for policy_id in tier.policies:
            policy = self._policies.get(policy_id)
            if policy is None:
                self._missing(policy_id)
                rules = [self._verdicts.goto(Letter.DENY, direction, tier.default_id)]
                counts = False
                break
            rules += self._steps(policy, direction, proxied, f"{CLEAR} return")
            counts |= not policy.staged
        if counts and tier.default_action is Action.PASS:
            rules.append(self._verdicts.count(RuleKey(Letter.NEXT, direction, tier.default_id)))
        elif counts:
            rules.append(self._verdicts.goto(Letter.DENY, direction, tier.default_id))
        return self._table.add(Chain(chain, tuple(rules)))

    def _missing(self, policy_id: str) -> None:
        self.problems[f"policy {policy_id} is missing: what reaches it is denied"] = None

    def _steps(self, policy: PolicyProgram, direction: Direction, proxied: bool, passed: str) -> list[str]:
        """Evaluate one policy; `passed` is the statement that follows when a rule of it passed."""
        steps = [f"jump {self._policy(policy, direction, proxied)}"]
        if not policy.staged and any(rule.action is Action.PASS for rule in rules_of(policy, direction)):
            steps.append(f"{TEST_PASS} {passed}")
        return steps

    def _policy(self, policy: PolicyProgram, direction: Direction, proxied: bool) -> str:
        # places that make no difference to this policy share one chain
        proxied = proxied and any(rule.http is not None for rule in rules_of(policy, direction))
        chain = name("policy", policy.id, direction, str(proxied))
        if chain not in self._table.chains and not self._again(policy, direction, proxied):
            recorder = Recorder(self._sets)
            verdicts: dict[tuple[Letter, str], None] = {}
            problems = len(self.problems)
            rules = tuple(
                line
                for rule in rules_of(policy, direction)
                for line in self._rule(rule, policy, direction, proxied, recorder, verdicts)
            )
            made = Chain(chain, rules)
            self._table.add(made)
            if len(self.problems) == problems:
                kept = _Kept(policy, made, tuple(recorder.asked), tuple(verdicts))
                self._memory[policy.id, direction, proxied] = kept
        return chain

    def _again(self, policy: PolicyProgram, direction: Direction, proxied: bool) -> bool:
        """Take the policy's chain from the last rendering, when it is right for this one."""
        kept = self._memory.get((policy.id, direction, proxied))
        if kept is None or kept.policy is not policy:
            return False
        if any(ask(self._sets, what, arguments) != answer for what, arguments, answer in kept.asked):
            return False
        for letter, rule_id in kept.verdicts:
            self._verdicts.goto(letter, direction, rule_id)
        self._table.add(kept.chain)
        return True

    def _rule(
        self,
        rule: Rule,
        policy: PolicyProgram,
        direction: Direction,
        proxied: bool,
        sets: Recorder,
        verdicts: dict[tuple[Letter, str], None],
    ) -> list[str]:
        if rule.http is not None:
            over_tcp = _TCP in (rule.protocols or (_TCP,))
            if not proxied or rule.action is not Action.ALLOW or not over_tcp:
                return []
            rule = structs.replace(rule, protocols=(_TCP,))
        found = matches(rule, sets, self._without)
        if not found:
            return []
        letter = (_STAGED if policy.staged else _ENFORCED)[rule.action]
        verdicts[letter, rule.id] = None
        statement = self._verdicts.goto(letter, direction, rule.id)
        return [f"{match} {statement}".lstrip() for match in found]

    def _without(self, rule: Rule, set_id: str) -> None:
        self.problems[f"rule {rule.id}: set {set_id} is missing: the rule fails closed"] = None
