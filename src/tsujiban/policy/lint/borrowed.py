"""What reading and cross-checking manifests found already, under lint's codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tsujiban.policy.lint.codes import (
    DOUBTFUL,
    IDLE_PEER,
    IDLE_POLICY,
    NO_SUCH,
    SHADOWED,
    Code,
    LintFinding,
)
from tsujiban.resources import positions
from tsujiban.resources.findings import Finding, Severity

_CODES: dict[str, Code] = {
    "never-matches": SHADOWED,
    "no-such-profile": NO_SUCH,
    "no-such-service": NO_SUCH,
    "no-such-service-account": NO_SUCH,
}
_SUBJECTS = frozenset(("podSelector", "selector", "subject"))  # fields of spec that say whom a policy is on


def borrowed(findings: Iterable[Finding]) -> Iterator[LintFinding]:
    """Warnings of `resources` as findings of lint; errors are not for lint to tell."""
    for one in findings:
        if one.severity is Severity.ERROR:
            continue
        code = _code(one)
        yield LintFinding(
            code=code.id,
            name=code.name,
            severity=code.level,
            message=one.message,
            hint=one.hint,
            file=one.file,
            line=one.line,
            column=one.column,
            object=one.object,
            field=one.field,
            page=code.page,
        )


def _code(one: Finding) -> Code:
    if one.code == "selects-nothing":
        path = positions.parse(one.field)
        return IDLE_POLICY if len(path) == 2 and path[1] in _SUBJECTS else IDLE_PEER
    return _CODES.get(one.code, DOUBTFUL)
