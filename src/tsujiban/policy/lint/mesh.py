"""AuthorizationPolicy rules that another one leaves nothing to.

The mesh's rules are not ordered within an action, and speak in patterns; so this looks at two rules
at a time, and calls one covered when the other asks for a part of what it asks for, or for less.
"""

from __future__ import annotations

from collections.abc import Iterator

from tsujiban.policy.definitions import AuthorizationForm
from tsujiban.policy.lint.codes import SHADOWED, LintFinding
from tsujiban.policy.lint.subject import Subject, finding
from tsujiban.policy.program import AuthzAction, AuthzProgram, AuthzRule


def check(subject: Subject) -> Iterator[LintFinding]:
    """Findings about rules that are covered."""
    for rule, taker in covered(subject).items():
        program = rule.rpartition("/")[0]
        yield finding(
            SHADOWED,
            subject.written[program],
            subject.rule_path(program, rule),
            f"it makes no difference: {taker} takes all that it would",
            "remove it, or narrow the rule that takes its requests",
        )


def covered(subject: Subject) -> dict[str, str]:
    """Rules that can go, and the rule that takes what each would: of the same action, or a DENY
    before an ALLOW. All can go at once."""
    on: dict[str, set[str]] = {}
    for endpoint in subject.world.endpoints.values():
        for name in endpoint.authorization:
            on.setdefault(name, set()).add(endpoint.id)
    programs = sorted(
        (
            form.program
            for form in subject.forms.values()
            if isinstance(form, AuthorizationForm) and not form.program.dry_run and form.program.id in on
        ),
        key=lambda program: program.id,
    )
    rules = [(p, r) for p in programs if p.action in (AuthzAction.DENY, AuthzAction.ALLOW) for r in p.rules]
    found: dict[str, str] = {}
    for program, rule in rules:
        for other, wide in rules:
            if wide.id == rule.id or wide.id in found or not _before(other, program):
                continue
            if on[program.id] <= on[other.id] and covers(wide, rule):
                found[rule.id] = wide.id
                break
    return found


def _before(other: AuthzProgram, program: AuthzProgram) -> bool:
    return other.action is program.action or other.action is AuthzAction.DENY


def covers(wide: AuthzRule, narrow: AuthzRule) -> bool:
    """Whether whatever matches `narrow` matches `wide`, as far as their clauses are the same."""
    return (
        _either(wide.sources, narrow.sources)
        and _either(wide.operations, narrow.operations)
        and all(condition in narrow.conditions for condition in wide.conditions)
    )


def _either(wide: tuple[object, ...], narrow: tuple[object, ...]) -> bool:
    """For clauses of which one must hold: none asks for nothing."""
    return not wide or (bool(narrow) and all(clause in wide for clause in narrow))
