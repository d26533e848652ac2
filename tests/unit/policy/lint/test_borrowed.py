from __future__ import annotations

from tsujiban.policy.lint.borrowed import borrowed
from tsujiban.resources.findings import Finding, Severity


def warning(code: str, field: str = "") -> Finding:
    return Finding(
        code=code, message="m", hint="h", severity=Severity.WARNING, file="a", line=2, column=3, field=field
    )


def test_warnings_get_codes_of_lint() -> None:
    given = [
        warning("never-matches", "spec.ingress[1]"),
        warning("selects-nothing", "spec.podSelector"),
        warning("selects-nothing", "spec.ingress[0].from[0]"),
        warning("no-such-service"),
        warning("host-bits"),
    ]
    assert [one.code for one in borrowed(given)] == ["TSJ101", "TSJ102", "TSJ109", "TSJ110", "TSJ115"]


def test_place_message_and_hint_stay() -> None:
    (one,) = borrowed([warning("host-bits", "spec")])
    assert (one.file, one.line, one.column, one.message, one.hint, one.field) == ("a", 2, 3, "m", "h", "spec")


def test_errors_are_not_lints_to_tell() -> None:
    assert list(borrowed([Finding(code="bad-cidr", message="m")])) == []
