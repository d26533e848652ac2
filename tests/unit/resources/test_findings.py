"""How a finding reads."""

from __future__ import annotations

from tsujiban.resources.findings import Finding, Severity, errors

WHOLE = Finding(
    code="bad-value",
    message="'Alow' is not allowed here",
    hint="did you mean Allow?",
    file="a.yaml",
    line=7,
    column=5,
    object="NetworkPolicy default/x",
    field="spec.ingress[0].action",
)


def test_it_names_place_object_field_reason_hint_and_code() -> None:
    assert str(WHOLE) == (
        "a.yaml:7:5: error: NetworkPolicy default/x spec.ingress[0].action: "
        "'Alow' is not allowed here (did you mean Allow?) [bad-value]"
    )


def test_what_is_not_known_is_left_out() -> None:
    assert str(Finding(code="c", message="m")) == "error: m [c]"


def test_errors_leaves_warnings_out() -> None:
    warning = Finding(severity=Severity.WARNING, code="c", message="m")
    assert errors([warning, WHOLE]) == [WHOLE]
