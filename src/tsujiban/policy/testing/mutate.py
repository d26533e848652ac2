"""Would any test notice? Each rule in turn is taken away or turned round, and the tests asked again.

Rules are changed in the compiled program, so that the ids of the others stay; a policy that
closes without a rule (a default deny) is taken away as an object, through `PolicyGraph.apply`.
Only flows at endpoints that the policy is on are judged again. A change that no test noticed is
looked at on all traffic: either a flow shows the difference, or no test could have noticed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy

from msgspec.structs import replace

from tsujiban.policy.definitions import AuthorizationForm, NetworkPolicyForm
from tsujiban.policy.evaluate import evaluate, rules_of
from tsujiban.policy.flow import Flow, Verdict
from tsujiban.policy.forwarding import judges_forwarded
from tsujiban.policy.graph import key_of
from tsujiban.policy.journal import Table
from tsujiban.policy.lint.parts import Places
from tsujiban.policy.lint.space import Space, TooManyClasses, spaces
from tsujiban.policy.lint.subject import policies_written
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import (
    Action,
    AuthzAction,
    AuthzProgram,
    Direction,
    EndpointProgram,
    Frozen,
    Origin,
    PolicyProgram,
    Rule,
)
from tsujiban.policy.symbolic.words import TooManyDistinctions
from tsujiban.policy.testing.differing import differing
from tsujiban.policy.testing.suite import Case
from tsujiban.policy.world import World
from tsujiban.resources.load import LoadedObject

MAX_WITNESSES = 2000
"""Most flows that are judged to tell a change that no test noticed from one that none could."""

_FLIPPED = {Action.ALLOW: Action.DENY, Action.DENY: Action.ALLOW}

Asked = tuple[Case, Sequence[Flow]]


class Mutant(Frozen, frozen=True):
    """One change, and the case that noticed it. `witness` shows a change that none did."""

    rule: str  # or the policy, when it is taken away whole
    change: str  # "remove", "allow to deny", "deny to allow", "remove the policy"
    file: str = ""
    line: int = 0
    killed: bool = False
    killer: str = ""
    equivalent: bool = False  # no flow can tell
    witness: Flow | None = None
    before: str = ""
    after: str = ""


def mutants(
    offline: OfflineWorld, objects: Sequence[LoadedObject], asked: Sequence[Asked]
) -> Iterator[Mutant]:
    """Every change of every enforced rule, judged by the cases that pass without it."""
    return _Mutator(offline, objects, asked).all()


class _Mutator:
    def __init__(
        self, offline: OfflineWorld, objects: Sequence[LoadedObject], asked: Sequence[Asked]
    ) -> None:
        self.offline = offline
        self.world = offline.world
        self.written = policies_written(objects, "cluster.local")
        self.known = dict(self.world.policies)
        self.on: dict[str, list[EndpointProgram]] = defaultdict(list)
        for endpoint in self.world.endpoints.values():
            tiers = (*endpoint.ingress, *endpoint.egress)
            for name in {n for tier in tiers for n in tier.policies} | {
                *endpoint.profiles,
                *endpoint.authorization,
            }:
                self.on[name].append(endpoint)
        self.flows: list[tuple[Case, Flow, Verdict]] = [
            (case, flow, self._judge(flow)) for case, flows in asked for flow in flows
        ]
        self.at: dict[str, list[int]] = defaultdict(list)  # flows by endpoint that is asked about them
        for index, (_, _, verdict) in enumerate(self.flows):
            for name in {layer.endpoint for layer in verdict.layers}:
                self.at[name].append(index)
        self._places: Places | None = None
        self._spaces: dict[str, list[Space]] = {}

    def _judge(self, flow: Flow, world: World | None = None) -> Verdict:
        return evaluate(self.world if world is None else world, flow)

    def all(self) -> Iterator[Mutant]:
        """Every mutant, policy after policy."""
        for name, (form, about) in self.written.items():
            if isinstance(form, NetworkPolicyForm):
                if form.program.staged:
                    continue
                yield from self._network(self.known[name])
                if any(not rules_of(form.program, direction) for direction in form.directions):
                    yield self._removed(form.program, about)
            elif isinstance(form, AuthorizationForm):
                if not form.program.dry_run:
                    yield from self._authorization(self.world.authorizations[name])
            elif name in self.known:
                yield from self._network(self.known[name])

    # ------------------------------------------------------------------ network policy

    def _network(self, program: PolicyProgram) -> Iterator[Mutant]:
        for direction in Direction:
            for rule in {rule.id: rule for rule in reversed(rules_of(program, direction))}.values():
                if rule.action is Action.LOG:
                    continue
                yield self._rule(program, rule, "remove", None)
                turned = _FLIPPED.get(rule.action)
                if turned is not None:
                    yield self._rule(program, rule, f"{rule.action} to {turned}", turned)

    def _rule(self, program: PolicyProgram, rule: Rule, change: str, action: Action | None) -> Mutant:
        changed = replace(
            program,
            ingress=_changed(program.ingress, rule.id, action),
            egress=_changed(program.egress, rule.id, action),
        )
        self.world.policies[program.id] = changed
        try:
            mutant = self._asked(rule.id, change, rule.origin, self._near(program.id))
            if mutant.killed:
                return mutant
            policies = {**self.known, program.id: changed}
            return self._unnoticed(mutant, program.id, lambda space: space.walk(policies).allowed)
        finally:
            self.world.policies[program.id] = program

    def _asked(
        self, name: str, change: str, origin: Origin, near: Iterable[int], world: World | None = None
    ) -> Mutant:
        """The mutant in force, as the cases see it."""
        for index in near:
            case, flow, before = self.flows[index]
            now = self._judge(flow, world)
            noticed = now.verdict is not before.verdict or (case.rule and case.rule not in now.decided_by)
            if noticed:
                return Mutant(
                    rule=name,
                    change=change,
                    file=origin.file,
                    line=origin.line,
                    killed=True,
                    killer=case.name,
                )
        return Mutant(rule=name, change=change, file=origin.file, line=origin.line)

    def _near(self, policy: str) -> list[int]:
        """The flows that the endpoints are asked about that a policy is on, at an end or on the way."""
        return sorted({index for endpoint in self.on[policy] for index in self.at[endpoint.id]})

    # ------------------------------------------------------------------ the mesh, and whole policies

    def _authorization(self, program: AuthzProgram) -> Iterator[Mutant]:
        turned = {AuthzAction.ALLOW: AuthzAction.DENY, AuthzAction.DENY: AuthzAction.ALLOW}
        for rule in program.rules:
            changed = replace(program, rules=tuple(r for r in program.rules if r.id != rule.id))
            yield self._authz(changed, rule.id, "remove", rule.origin)
        if program.action in turned:
            action = turned[program.action]
            changed = replace(program, action=action)
            yield self._authz(changed, program.id, f"{program.action} to {action}", program.origin)

    def _authz(self, changed: AuthzProgram, name: str, change: str, origin: Origin) -> Mutant:
        before = self.world.authorizations[changed.id]
        self.world.authorizations[changed.id] = changed
        try:
            mutant = self._asked(name, change, origin, self._near(changed.id))
            return mutant if mutant.killed else self._unnoticed_in_mesh(mutant, before)
        finally:
            self.world.authorizations[changed.id] = before

    def _removed(self, program: PolicyProgram, about: LoadedObject) -> Mutant:
        graph, key = self.offline.graph, key_of(about.object)
        delta = graph.apply([(key, None)])
        world = World(graph.state(), self.world.failsafes)
        graph.apply([(key, about)])
        touched = {name for table, name in delta.changed if table is Table.ENDPOINTS}
        near = sorted({index for name in touched for index in self.at[name]})
        mutant = self._asked(program.id, "remove the policy", program.origin, near, world)
        if mutant.killed:
            return mutant
        gone = frozenset((program.id,))
        return self._unnoticed(
            mutant, program.id, lambda space: space.walk(self.known, policies=gone).allowed, world
        )

    # ------------------------------------------------------------------ could a test notice?

    def _unnoticed(
        self, mutant: Mutant, policy: str, after: Callable[[Space], int], world: World | None = None
    ) -> Mutant:
        tried = 0
        forwards = any(endpoint.host for endpoint in self.on[policy]) and judges_forwarded(self.known[policy])
        same = not forwards  # spaces are about what ends at an endpoint, not what passes through a host
        try:
            there = self._spaces_of(policy)
        except TooManyClasses:
            return mutant
        for space in there:
            differing = space.walk(self.known).allowed ^ after(space)
            # Witnesses stand for a class of flows at this end; at the other end, and to the mesh, its
            # flows may differ. So only a program that says the same of every class changes nothing.
            same = same and not differing
            for flow in space.flows(differing):
                now, then = self._judge(flow, world).verdict, self._before(policy, flow).verdict
                if then is not now:
                    return replace(mutant, witness=flow, before=str(then), after=str(now))
                tried += 1
                if tried >= MAX_WITNESSES:
                    return mutant
        return replace(mutant, equivalent=same)

    def _unnoticed_in_mesh(self, mutant: Mutant, before: AuthzProgram) -> Mutant:
        """The same for a changed AuthorizationPolicy, which is in force; `before` is what it was."""
        endpoints = {endpoint.id for endpoint in self.on[before.id]}
        state = copy(self.world.state)
        state.authorizations = {**state.authorizations, before.id: before}
        original = World(state, self.world.failsafes)
        tried = 0
        try:
            for flow in differing(self.offline, endpoints, original, self.world) if endpoints else ():
                then, now = evaluate(original, flow).verdict, self._judge(flow).verdict
                if then is not now:
                    return replace(mutant, witness=flow, before=str(then), after=str(now))
                tried += 1
                if tried >= MAX_WITNESSES:
                    break
        except TooManyDistinctions:
            return mutant
        return replace(mutant, equivalent=not tried)

    def _before(self, policy: str, flow: Flow) -> Verdict:
        changed = self.world.policies.get(policy)
        self.world.policies[policy] = self.known[policy]
        try:
            return self._judge(flow)
        finally:
            if changed is not None:
                self.world.policies[policy] = changed

    def _spaces_of(self, policy: str) -> list[Space]:
        if self._places is None:
            original = World(self.world.state, self.world.failsafes)
            original.policies = self.known
            self._places = Places(original)
        found = []
        for endpoint in self.on[policy]:
            if endpoint.id not in self._spaces:
                self._spaces[endpoint.id] = spaces(self._places, endpoint)
            found += self._spaces[endpoint.id]
        return found


def _changed(rules: Iterable[Rule], name: str, action: Action | None) -> tuple[Rule, ...]:
    if action is None:
        return tuple(rule for rule in rules if rule.id != name)
    return tuple(replace(rule, action=action) if rule.id == name else rule for rule in rules)
