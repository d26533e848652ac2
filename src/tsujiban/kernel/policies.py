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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from msgspec import structs

from tsujiban.kernel import runs
from tsujiban.kernel.clauses import matches
from tsujiban.kernel.elements import VERSIONS
from tsujiban.kernel.names import name
from tsujiban.kernel.runs import Entry, RunElements, Simple, simple
from tsujiban.kernel.sets import ADDRESS, Recorder, TableSets, ask, triple_type
from tsujiban.kernel.table import Chain, Set, Table
from tsujiban.kernel.verdicts import CLEAR, GOES_ON, TEST_PASS, Ending, Letter, RuleKey, Verdicts, Where
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
_LEAVE = f"{CLEAR} return"  # the tier
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


class Stage(StrEnum):
    """When a policy acts. All but those of host endpoints are NORMAL."""

    UNTRACKED = "untracked"  # before connection tracking
    PRE_DNAT = "pre-dnat"  # before addresses are translated
    NORMAL = "normal"


def stage_of(policy: PolicyProgram) -> Stage:
    """When `policy` acts."""
    if policy.do_not_track:
        return Stage.UNTRACKED
    return Stage.PRE_DNAT if policy.pre_dnat else Stage.NORMAL


@dataclass(frozen=True)
class Pass:
    """One walk over an endpoint's program in one direction: what of it counts, and how it ends."""

    direction: Direction
    where: Where
    ending: Ending
    stages: frozenset[Stage] = frozenset({Stage.NORMAL})
    forwarded: bool = False  # what a host endpoint's node forwards: policies about that alone
    proxied: bool = False

    @property
    def last(self) -> bool:
        """Whether what no rule has decided is denied here; it goes on otherwise."""
        return not self.forwarded and Stage.NORMAL in self.stages

    def counts(self, policy: PolicyProgram) -> bool:
        """Whether `policy` is asked."""
        return stage_of(policy) in self.stages and (not self.forwarded or policy.apply_on_forward)

    def key(self, proxied: bool) -> tuple[str, ...]:
        """What makes the chain of one policy differ between passes; as short as it was for pods."""
        usual = (str(self.direction), str(proxied))
        return usual if isinstance(self.where, Direction) else (*usual, self.where, self.ending)


def of_pod(endpoint: EndpointProgram, direction: Direction, reject: bool) -> Pass:
    """The one walk over a pod's program."""
    return Pass(
        direction,
        direction,
        Ending.REFUSED if reject else Ending.PLAIN,
        proxied=direction is Direction.INGRESS and endpoint.mesh is not Mesh.NONE,
    )


@dataclass(frozen=True)
class _Kept:
    """A policy's chain, and what has to be so for it to be right again."""

    policy: PolicyProgram
    chains: tuple[Chain, ...]
    asked: tuple[tuple[str, tuple[Any, ...], str | None], ...]
    verdicts: tuple[tuple[Letter, str], ...]
    runs: tuple[tuple[Simple, ...], ...]
    usable: tuple[bool, ...]  # of each rule that may be part of a run


class PolicyMemory:
    """What was made of policies, kept between renderings."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, ...], _Kept] = {}
        self.runs: dict[str, RunElements] = {}
        self.simple: dict[tuple[str, Direction], tuple[PolicyProgram, tuple[Simple | None, ...]]] = {}
        self.joints: dict[str, Chain] = {}  # chains of tiers and endpoints

    def forget(self, policies: Mapping[str, PolicyProgram]) -> None:
        """Drop what there is no policy for any more."""
        self.kept = {key: kept for key, kept in self.kept.items() if key[0] in policies}
        self.simple = {key: found for key, found in self.simple.items() if key[0] in policies}

    def all_simple(self) -> list[Simple]:
        """Every rule that could be part of a run."""
        return [one for _, found in self.simple.values() for one in found if one is not None]

    def sweep(self, table: Table) -> None:
        """Drop the runs and chains that `table` does not hold."""
        for run in [run for run in self.runs if f"{run}-4" not in table.sets]:
            del self.runs[run]
        for chain in self.joints.keys() - table.chains.keys():
            del self.joints[chain]


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
        self.in_runs: set[str] = set()  # sets whose members are keys of runs
        self._steps_of: dict[tuple[Pass, str], dict[str, list[str]]] = {}  # by policy, in this rendering

    def endpoint(self, endpoint: EndpointProgram, walk: Pass) -> str:
        """The name of the chain for one walk over `endpoint`'s program.

        It always decides in a walk that is the last; in others it may return.
        """
        where, ending = walk.where, walk.ending
        tiers = endpoint.ingress if walk.direction is Direction.INGRESS else endpoint.egress
        names = [self._tier(tier, walk) for tier in tiers]
        rules = [f"jump {tier}" for tier in names if self._table.chains[tier].rules]
        if walk.last:
            for profile_id in endpoint.profiles:
                profile = self._policies.get(profile_id)
                if profile is None:
                    self._missing(profile_id)
                    break
                # after the tiers there is nothing to pass on to but the next profile
                rules += self._steps(profile, walk, CLEAR)
            rules.append(self._verdicts.goto(Letter.DENY, where, endpoint.no_profile_id, ending))
        stages = () if walk.stages == {Stage.NORMAL} else tuple(sorted(walk.stages))
        return self._joint(name("endpoint", where, endpoint.id, *stages), rules)

    def _tier(self, tier: Tier, walk: Pass) -> str:
        key = (str(walk.proxied), tier.name, tier.default_action, tier.default_id, *tier.policies)
        stages = () if walk.stages == {Stage.NORMAL} else tuple(sorted(walk.stages))
        chain = name("tier", walk.where, *stages, *key)
        if chain in self._table.chains:
            return chain
        rules: list[str] = []
        asked: list[PolicyProgram] = []
        counts = False
        for policy_id in tier.policies:
            policy = self._policies.get(policy_id)
            if policy is None:
                self._missing(policy_id)
                return self._joint(chain, [self._default(tier, walk)])
            if walk.counts(policy):
                asked.append(policy)
                counts |= not policy.staged and stage_of(policy) is Stage.NORMAL
        if len(asked) < runs.LEAST_POLICIES:
            for policy in asked:
                rules += self._steps(policy, walk, _LEAVE)
        else:
            items = [(policy, self._all_simple(policy, walk)) for policy in asked]
            for group, run in runs.split(items, runs.LEAST_POLICIES):
                rules += self._run(run, walk) if run else self._steps(group[0], walk, _LEAVE)
        if counts and tier.default_action is Action.PASS:
            rules.append(self._verdicts.count(RuleKey(Letter.NEXT, walk.where, tier.default_id)))
        elif counts:
            rules.append(self._default(tier, walk))
        return self._joint(chain, rules)

    def _default(self, tier: Tier, walk: Pass) -> str:
        return self._verdicts.goto(Letter.DENY, walk.where, tier.default_id, walk.ending)

    def _missing(self, policy_id: str) -> None:
        self.problems[f"policy {policy_id} is missing: what reaches it is denied"] = None

    def _joint(self, chain: str, rules: list[str]) -> str:
        """Add a chain that joins others; the very one of the last rendering when it is equal."""
        made = tuple(rules)
        known = self._memory.joints.get(chain)
        if known is None or known.rules != made:
            known = self._memory.joints[chain] = Chain(chain, made)
        return self._table.add(known)

    def _steps(self, policy: PolicyProgram, walk: Pass, passed: str) -> list[str]:
        """Evaluate one policy; `passed` is the statement that follows when a rule of it passed."""
        known = self._steps_of.setdefault((walk, passed), {})
        steps = known.get(policy.id)
        if steps is None:
            steps = known[policy.id] = [f"jump {self._policy(policy, walk)}"]
            rules = rules_of(policy, walk.direction)
            if not policy.staged and any(rule.action is Action.PASS for rule in rules):
                steps.append(f"{TEST_PASS} {passed}")
        return steps

    def _policy(self, policy: PolicyProgram, walk: Pass) -> str:
        rules = rules_of(policy, walk.direction)
        # places that make no difference to this policy share one chain
        proxied = walk.proxied and any(rule.http is not None for rule in rules)
        key = walk.key(proxied)
        chain = name("policy", policy.id, *key)
        if chain not in self._table.chains and not self._again(policy, walk, key):
            recorder = Recorder(self._sets)
            problems = len(self.problems)
            made = _Made(chain, recorder, self._verdicts, walk, policy.staged, self._without)
            found = self._simple(policy, walk)
            usable = tuple(one is not None for one in found)
            looked_up: list[tuple[Simple, ...]] = []
            simple_or_not = [(rule, [one] if one else None) for rule, one in zip(rules, found, strict=True)]
            for group, run in runs.split(simple_or_not, runs.LEAST_RULES):
                if run:
                    made.look_up(self._run(run, walk))
                    looked_up.append(tuple(run))
                    continue
                seen = _seen(group[0], proxied)
                if seen is not None:
                    made.add(seen)
            chains = made.chains()
            for one in chains:
                self._table.add(one)
            if len(self.problems) == problems:
                kept = _Kept(
                    policy, chains, tuple(recorder.asked), tuple(made.used), tuple(looked_up), usable
                )
                self._memory.kept[policy.id, *key, walk.ending] = kept
        return chain

    def _again(self, policy: PolicyProgram, walk: Pass, key: tuple[str, ...]) -> bool:
        """Take the policy's chains from the last rendering, when they are right for this one."""
        kept = self._memory.kept.get((policy.id, *key, walk.ending))
        if kept is None or kept.policy is not policy:
            return False
        if tuple(one is not None for one in self._simple(policy, walk)) != kept.usable:
            return False
        if any(ask(self._sets, what, arguments) != answer for what, arguments, answer in kept.asked):
            return False
        for letter, rule_id in kept.verdicts:
            self._verdicts.chain(letter, walk.where, rule_id, walk.ending)
        for chain in kept.chains:
            self._table.add(chain)
        for run in kept.runs:
            self._run(run, walk)
        return True

    def _simple(self, policy: PolicyProgram, walk: Pass) -> tuple[Simple | None, ...]:
        """The policy's rules as far as a map can hold them now."""
        known = self._memory.simple.get((policy.id, walk.direction))
        if known is None or known[0] is not policy:
            found = tuple(simple(rule, walk.direction) for rule in rules_of(policy, walk.direction))
            known = self._memory.simple[policy.id, walk.direction] = (policy, found)
        if policy.staged:
            return (None,) * len(known[1])
        return tuple(one if one is not None and self._fits(one) else None for one in known[1])

    def _all_simple(self, policy: PolicyProgram, walk: Pass) -> list[Simple] | None:
        found = self._simple(policy, walk)
        return None if None in found else [one for one in found if one is not None]

    def _fits(self, one: Simple) -> bool:
        if not isinstance(one.peers, str):
            return one.fits(len(one.peers))
        held = self._sets.hosts(one.peers)
        return held is not None and one.fits(sum(len(held.elements(version)) for version in VERSIONS))

    def _run(self, run: Sequence[Simple], walk: Pass) -> list[str]:
        """The look-ups of a run, one for each IP version."""
        where, ending = walk.where, walk.ending
        entries = []
        for one in run:
            letter = _ENFORCED[one.rule.action]
            verdict = self._verdicts.goto(letter, where, one.rule.id, ending)
            held = None
            if isinstance(one.peers, str):
                self.in_runs.add(one.peers)
                held = self._sets.hosts(one.peers)
            peers = {v: one.addresses(v, held.elements(v) if held else None) for v in VERSIONS}
            entries.append(Entry(one, peers, verdict))
        called = name("run", where, ending, *(part for one in run for part in one.words))
        elements = self._memory.runs.setdefault(called, RunElements())
        elements.update(entries)
        peer = "saddr" if walk.direction is Direction.INGRESS else "daddr"
        lines = []
        for version, ip in ((4, "ip"), (6, "ip6")):
            of = triple_type(version) if run[0].ported else ADDRESS[version]
            made = self._table.add(Set(f"{called}-{version}", of, elements.elements(version), data="verdict"))
            lines.append(f"{ip} {peer}{' . meta l4proto . th dport' if run[0].ported else ''} vmap @{made}")
        return lines

    def _without(self, rule: Rule, set_id: str) -> None:
        self.problems[f"rule {rule.id}: set {set_id} is missing: the rule fails closed"] = None


def _seen(rule: Rule, proxied: bool) -> Rule | None:
    """The rule as far as the kernel sees it; None when it says nothing here."""
    if rule.http is None:
        return rule
    if not proxied or rule.action is not Action.ALLOW or _TCP not in (rule.protocols or (_TCP,)):
        return None
    return structs.replace(rule, protocols=(_TCP,))


class _Made:
    """The chains of one policy while they are being made."""

    def __init__(
        self,
        name: str,
        sets: Recorder,
        verdicts: Verdicts,
        walk: Pass,
        staged: bool,
        missing: Callable[[Rule, str], None],
    ) -> None:
        self._name = name
        self._sets = sets
        self._verdicts = verdicts
        self._walk = walk
        self._letters = _STAGED if staged else _ENFORCED
        self._missing = missing
        self._rules: list[str] = []
        self._logs: list[Chain] = []
        self._logging = ""  # the last rule's id, when it was a Log rule
        self.used: dict[tuple[Letter, str], None] = {}  # verdicts

    def add(self, rule: Rule) -> None:
        """The next rule."""
        found = matches(rule, self._sets, self._missing)
        letter = self._letters[rule.action]
        if not found:
            return
        self.used[letter, rule.id] = None
        verdict = self._verdicts.chain(letter, self._walk.where, rule.id, self._walk.ending)
        lines = [f"{match} goto {verdict}".lstrip() for match in found]
        if letter not in GOES_ON:
            self._rules += lines
            self._logging = ""
        elif self._logging == rule.id:
            # alternatives of one rule of the user's: a packet is logged and counted by one of them
            self._logs[-1] = Chain(self._logs[-1].name, (*self._logs[-1].rules, *lines))
        else:
            self._logs.append(Chain(f"{self._name}-log{len(self._logs)}", tuple(lines)))
            self._rules.append(f"jump {self._logs[-1].name}")
            self._logging = rule.id

    def look_up(self, rules: Sequence[str]) -> None:
        """The next rules, as a run."""
        self._rules += rules
        self._logging = ""

    def chains(self) -> tuple[Chain, ...]:
        """What has been made."""
        return (*self._logs, Chain(self._name, tuple(self._rules)))
