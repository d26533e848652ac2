"""Policies, tiers and endpoints as chains.

    endpoint ─jump→ tier (in order) ─jump→ policy ─goto→ verdict
                                                     accept, drop: the direction is decided
                                                     pass: mark, back to the tier, back to the endpoint
             ─jump→ profiles, in order
             ─goto→ deny

Policy and tier chains are shared by all endpoints that see them alike. A direction has its own
base chain, so that `accept` ends that direction and not the packet's way.

**HTTP clauses.** The kernel cannot see a request, so it must let pass whatever the endpoint's
proxy might allow, and nothing more. Behind a proxy ("proxied"):

- Allow with an HTTP clause: allow. Some request may match; the proxy decides.
- Deny with an HTTP clause: go on. Some request does not match; what later rules say of that one
  is what the proxy may allow.
- Pass with an HTTP clause: both are possible, so evaluation goes on *and* remembers (MAYBE) that
  the tier may have been left: from there on, in this tier, a deny is a pass.

An endpoint without a proxy has nobody to look at requests: Allow and Log with an HTTP clause
never match, Deny and Pass become a deny.

**What is missing denies.** A rule that names a set which the state does not hold denies what the
rest of it matches; a policy which the state does not hold denies everything that reaches it.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import structs

from tsujiban.kernel.clauses import MissingSetError, matches
from tsujiban.kernel.names import name
from tsujiban.kernel.sets import TableSets
from tsujiban.kernel.table import Chain, Table
from tsujiban.kernel.verdicts import CLEAR, MAYBE, PASS, Letter, RuleKey, Verdicts, set_mark, test_mark
from tsujiban.policy.program import (
    Action,
    Direction,
    EndpointProgram,
    Mesh,
    NodeState,
    PolicyProgram,
    Rule,
    Side,
    Tier,
)

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
    Action.LOG: Letter.LOG,
}


class Place(NamedTuple):
    """What makes the same policy's chain differ from place to place."""

    direction: Direction
    proxied: bool
    soft: bool = False  # an earlier rule of the tier may have passed


def rules_of(policy: PolicyProgram, direction: Direction) -> tuple[Rule, ...]:
    """The policy's rules for one direction."""
    return policy.ingress if direction is Direction.INGRESS else policy.egress


class PolicyChains:
    """Makes chains of `table` for the endpoints of `state`."""

    def __init__(self, state: NodeState, table: Table, sets: TableSets, verdicts: Verdicts) -> None:
        self._state = state
        self._table = table
        self._sets = sets
        self._verdicts = verdicts
        self.problems: dict[str, None] = {}  # in order of discovery

    def endpoint(self, endpoint: EndpointProgram, direction: Direction) -> str:
        """The name of the chain that decides one direction of `endpoint`; it always decides."""
        place = Place(direction, endpoint.mesh is not Mesh.NONE)
        refuse = self._verdicts.goto(Letter.DENY, direction, endpoint.no_profile_id)
        rules = [
            f"jump {self._tier(tier, place)}"
            for tier in (endpoint.ingress if direction is Direction.INGRESS else endpoint.egress)
        ]
        for profile in endpoint.profiles:
            rules += self._steps(profile, place, endpoint.no_profile_id, refuse)
        rules.append(refuse)
        return self._table.add(Chain(name("endpoint", direction, endpoint.id), tuple(rules)))

    def _tier(self, tier: Tier, place: Place) -> str:
        direction = place.direction
        key = (str(place.proxied), tier.name, tier.default_action, tier.default_id, *tier.policies)
        chain = name("tier", direction, *key)
        if chain in self._table.chains:
            return chain
        rules: list[str] = []
        counts = False
        for policy_id in tier.policies:
            rules += self._steps(policy_id, place, tier.default_id, f"{CLEAR} return")
            policy = self._state.policies.get(policy_id)
            counts |= policy is None or not policy.staged
            place = place._replace(soft=place.soft or _may_maybe(policy, place))
        if counts and tier.default_action is Action.PASS:
            rules.append(self._verdicts.count(RuleKey(Letter.NEXT, direction, tier.default_id)))
        elif counts:
            if place.soft:
                rules.append(f"{test_mark(MAYBE)} {CLEAR} return")
            rules.append(self._verdicts.goto(Letter.DENY, direction, tier.default_id))
        if place.soft:
            rules.append(CLEAR)
        return self._table.add(Chain(chain, tuple(rules)))

    def _steps(self, policy_id: str, place: Place, missing_id: str, passed: str) -> list[str]:
        """Evaluate one policy; `passed` is the statement that follows when it passed."""
        policy = self._state.policies.get(policy_id)
        if policy is None:
            self.problems[f"policy {policy_id} is missing: what reaches it is denied"] = None
            return [self._verdicts.goto(Letter.DENY, place.direction, missing_id)]
        steps = [f"jump {self._policy(policy, place)}"]
        if not policy.staged and (place.soft or _has(policy, place.direction, Action.PASS)):
            steps.append(f"{test_mark(PASS)} {passed}")
        return steps

    def _policy(self, policy: PolicyProgram, place: Place) -> str:
        # places that make no difference to this policy share one chain
        place = Place(
            place.direction,
            place.proxied and any(rule.http is not None for rule in rules_of(policy, place.direction)),
            place.soft and not policy.staged and _has(policy, place.direction, Action.DENY),
        )
        chain = name("policy", policy.id, *map(str, place))
        if chain in self._table.chains:
            return chain
        rules: list[str] = []
        for rule in rules_of(policy, place.direction):
            rules += self._rule(rule, policy, place)
            if rule.action is Action.PASS and rule.http is not None and place.proxied:
                place = place._replace(soft=not policy.staged)
        return self._table.add(Chain(chain, tuple(rules)))

    def _rule(self, rule: Rule, policy: PolicyProgram, place: Place) -> list[str]:
        try:
            found = matches(rule, self._sets)
        except MissingSetError as error:
            self.problems[f"rule {rule.id}: set {error.args[0]} is missing: the rule denies"] = None
            if policy.staged:
                return []
            rule = _without_sets(rule)
            found = matches(rule, self._sets)
        statement = self._statement(rule, place, staged=policy.staged)
        return [f"{match} {statement}".lstrip() for match in found] if statement else []

    def _statement(self, rule: Rule, place: Place, *, staged: bool) -> str | None:
        """What to do where the rule's layer 3 and 4 clauses match; None: nothing."""
        direction, action = place.direction, rule.action
        if rule.http is not None:
            if not place.proxied:
                if action in (Action.ALLOW, Action.LOG):
                    return None
                action = Action.DENY
            elif action is Action.PASS and not staged:
                return f"{self._verdicts.count(RuleKey(Letter.NEXT, direction, rule.id))} {set_mark(MAYBE)}"
            elif action is not Action.ALLOW:
                return None
        if action is Action.DENY and place.soft and not staged:
            return self._verdicts.soft_deny(direction, rule.id)
        return self._verdicts.goto((_STAGED if staged else _ENFORCED)[action], direction, rule.id)


def _has(policy: PolicyProgram, direction: Direction, action: Action) -> bool:
    return any(rule.action is action for rule in rules_of(policy, direction))


def _may_maybe(policy: PolicyProgram | None, place: Place) -> bool:
    """Whether the policy can leave MAYBE set."""
    return (
        policy is not None
        and not policy.staged
        and place.proxied
        and any(
            rule.action is Action.PASS and rule.http is not None for rule in rules_of(policy, place.direction)
        )
    )


def _without_sets(rule: Rule) -> Rule:
    """A deny of everything that the rule's clauses without sets match, whatever it did before."""

    def bare(side: Side) -> Side:
        return Side(nets=side.nets, not_nets=side.not_nets)

    return structs.replace(rule, action=Action.DENY, http=None, src=bare(rule.src), dst=bare(rule.dst))
