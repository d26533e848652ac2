"""All checks on one set of objects, in the order of the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tsujiban.policy.lint import effect, exposure, habits, mesh, silence
from tsujiban.policy.lint.borrowed import borrowed
from tsujiban.policy.lint.codes import NO_EFFECT, LintFinding
from tsujiban.policy.lint.subject import Subject
from tsujiban.resources.crosscheck import crosscheck
from tsujiban.resources.findings import Finding
from tsujiban.resources.load import LoadedObject


def lint_objects(
    objects: Iterable[LoadedObject],
    *,
    sources: Mapping[str, bytes] | None = None,
    findings: Iterable[Finding] = (),
    trust_domain: str = "cluster.local",
) -> list[LintFinding]:
    """What is wrong with objects that are valid, silenced findings included (`silenced` is then not None).

    `objects` are what `resources.load.read` gave; `findings` what it had to say; `sources` the files'
    contents by name, for the comments that silence. Raises ValueError for objects that validation
    would have refused.
    """
    objects = list(objects)
    subject = Subject(objects, trust_domain)
    found = [
        *borrowed([*findings, *crosscheck(objects)]),
        *effect.check(subject),
        *mesh.check(subject),
        *exposure.check(subject),
        *habits.check(subject),
    ]
    found = silence.apply(_once(found), objects, sources or {})
    return sorted(found, key=lambda one: (one.file, one.line, one.column, one.code, one.field))


def _once(findings: Iterable[LintFinding]) -> list[LintFinding]:
    """Without what was found twice, and without effects of what has a finding of its own."""
    found: dict[tuple[str, str, str], LintFinding] = {}
    for one in findings:
        if one.code == NO_EFFECT.id and any(
            (other.file, other.object) == (one.file, one.object) and other.field.startswith(one.field)
            for other in found.values()
        ):
            continue
        found.setdefault((one.code, f"{one.file} {one.object}", one.field), one)
    return list(found.values())
