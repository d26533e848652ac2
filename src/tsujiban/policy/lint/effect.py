"""Rules and policies in vain: shadowed, redundant, without effect.

Judged on all traffic of every endpoint (`space`), over the whole ordered program of tiers,
policies and profiles. All that is reported can be removed at once: each is judged in a world
from which those before it are already gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tsujiban.policy.definitions import NetworkPolicyForm
from tsujiban.policy.evaluate import rules_of
from tsujiban.policy.forwarding import judges_forwarded
from tsujiban.policy.lint.codes import NO_EFFECT, NOT_JUDGED, REDUNDANT, SHADOWED, LintFinding
from tsujiban.policy.lint.space import Space
from tsujiban.policy.lint.subject import Subject, finding
from tsujiban.policy.program import Action, Direction, PolicyProgram, Rule, Side


class Effects:
    """What of the policies changes a verdict, and what does not."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._known = subject.world.policies
        self.on: dict[str, list[Space]] = defaultdict(list)  # the spaces that a policy has rules or a say in
        for space in subject.spaces:
            for policy in space.policies(self._known):
                self.on[policy.id].append(space)
        self._unjudged = {
            name
            for endpoint in subject.unjudged
            for tier in (*endpoint.ingress, *endpoint.egress)
            for name in tier.policies
        } | self._forwarding()
        self.shadowed = self._shadowed()
        self.redundant = self._redundant()
        self.vain = self._vain()

    def _forwarding(self) -> set[str]:
        """Policies of host endpoints that also judge what is forwarded, which no space holds."""
        return {
            policy.id
            for name, space in ((name, space) for name, found in self.on.items() for space in found)
            if space.endpoint.host and judges_forwarded(policy := self._known[name])
        }

    def _enforced(self) -> Iterator[PolicyProgram]:
        """The user's policies that are enforced somewhere, the last in the order first."""
        forms = [self.subject.forms.get(name) for name in self.on]
        order = [
            form
            for form in forms
            if isinstance(form, NetworkPolicyForm)
            and not form.program.staged
            and form.program.id not in self._unjudged
        ]
        order.sort(key=lambda f: (f.order, f.tie, f.program.id), reverse=True)
        for form in order:
            yield self._known[form.program.id]

    def _shadowed(self) -> dict[str, frozenset[str]]:
        """Rules that match traffic, none of which reaches them; and the rules that take it."""
        matched: set[str] = set()
        reached: set[str] = set()
        for space in self.subject.spaces:
            walked = space.walk(self._known)
            for rule in self._rules_in(space):
                if space.bits(rule):
                    matched.add(rule.id)
            reached.update(name for name, bits in walked.reached.items() if bits)
        vain = (name for name in matched - reached if _policy_of(name) not in self._unjudged)
        return {name: self._takers(name) for name in sorted(vain)}

    def _rules_in(self, space: Space) -> Iterator[Rule]:
        for policy in space.policies(self._known):
            if not policy.staged:
                yield from rules_of(policy, space.direction)

    def _takers(self, name: str) -> frozenset[str]:
        """The rules that take the traffic of a shadowed one."""
        found: set[str] = set()
        for space in self.on[_policy_of(name)]:
            wanted = 0
            for rule in self._rules_in(space):
                if rule.id == name:
                    wanted |= space.bits(rule)
            if not wanted:
                continue
            actions = {rule.id: rule.action for rule in self._rules_in(space)}
            for taker, bits in space.walk(self._known).reached.items():
                if bits & wanted and actions[taker] is not Action.LOG:
                    found.add(taker)
        return frozenset(found)

    def _redundant(self) -> tuple[str, ...]:
        gone: set[str] = set()
        for policy in self._enforced():
            if all(_closes(rule) or rule.id in self.shadowed for rule in (*policy.ingress, *policy.egress)):
                continue  # it is there to close, or each of its rules is told of
            if self._same(policy.id, frozenset(self.shadowed), frozenset(gone), policies={policy.id}):
                gone.add(policy.id)
        return tuple(sorted(gone))

    def _vain(self) -> dict[str, bool]:
        """Rules that no verdict depends on; and whether they match anything at all."""
        gone = set(self.shadowed)
        found: dict[str, bool] = {}
        for policy in self._enforced():
            if policy.id in self.redundant:
                continue
            rules = {rule.id: rule for direction in Direction for rule in rules_of(policy, direction)}
            for name, rule in reversed(rules.items()):
                if rule.action is Action.LOG or name in gone or _closes(rule):
                    continue
                if self._same(policy.id, frozenset(gone), frozenset(self.redundant), rules={name}):
                    gone.add(name)
                    found[name] = self._matches(policy.id, name)
        return found

    def _matches(self, policy: str, name: str) -> bool:
        return any(
            space.bits(rule) for space in self.on[policy] for rule in self._rules_in(space) if rule.id == name
        )

    def _same(
        self,
        policy: str,
        without_rules: frozenset[str],
        without_policies: frozenset[str],
        *,
        rules: frozenset[str] | set[str] = frozenset(),
        policies: frozenset[str] | set[str] = frozenset(),
    ) -> bool:
        """Whether all verdicts stay when more is taken away."""
        for space in self.on[policy]:
            before = space.walk(self._known, rules=without_rules, policies=without_policies)
            after = space.walk(self._known, rules=without_rules | rules, policies=without_policies | policies)
            if before.allowed != after.allowed:
                return False
        return True


def _policy_of(rule: str) -> str:
    return rule.rsplit("/", 2)[0]


def _closes(rule: Rule) -> bool:
    """A Deny of everything: it states an intent, even where a default would do the same."""
    return rule.action is Action.DENY and rule == Rule(
        id=rule.id, action=Action.DENY, src=Side(), dst=Side(), origin=rule.origin
    )


def check(subject: Subject) -> Iterator[LintFinding]:
    """Findings about rules and policies that change nothing."""
    effects = Effects(subject)
    for endpoint in subject.unjudged:
        about = subject.endpoint_object(endpoint.id)
        if about is not None:
            yield finding(
                NOT_JUDGED,
                about,
                (),
                "its rules tell apart too much traffic: rules in vain on it are not looked for",
                "put rules that differ in one clause only together",
            )
    for name, takers in effects.shadowed.items():
        about = subject.written.get(_policy_of(name))
        if about is not None:
            told = (
                ", ".join(_where(subject, taker) for taker in sorted(takers)[:4]) or "a tier's default action"
            )
            yield finding(
                SHADOWED,
                about,
                subject.rule_path(_policy_of(name), name),
                f"it can never match: {told} take{'s' if len(takers) == 1 else ''} all that it would",
                "remove it, or put it before what takes its traffic",
            )
    for policy in effects.redundant:
        about = subject.written[policy]
        yield finding(
            REDUNDANT,
            about,
            (),
            "without it every verdict would be the same",
            "remove it, or narrow the policies that already say what it says",
        )
    for name, matches in effects.vain.items():
        about = subject.written.get(_policy_of(name))
        if about is not None:
            why = "without it every verdict would be the same"
            yield finding(
                NO_EFFECT,
                about,
                subject.rule_path(_policy_of(name), name),
                why if matches else f"nothing that there is can match it: {why}",
                "remove it, or narrow the rule after it that says the same" if matches else "",
            )


def _where(subject: Subject, rule: str) -> str:
    about = subject.written.get(_policy_of(rule))
    if about is None:
        return rule
    line = about.line(subject.rule_path(_policy_of(rule), rule))
    return f"{rule} ({about.file}:{line})" if line else rule
