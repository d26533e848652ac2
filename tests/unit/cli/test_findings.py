from __future__ import annotations

import click
import pytest

from tsujiban.cli import findings
from tsujiban.cli.errors import Exit
from tsujiban.resources.findings import Finding, Severity
from tsujiban.resources.load import read

SOURCE = {"a.yaml": b"kind: Pod\nspec:\n  colour: red\n"}
FINDING = Finding(
    code="unknown-field",
    message="unknown field",
    hint="remove it",
    file="a.yaml",
    line=3,
    column=3,
    object="Pod web",
    field="spec.colour",
)


def plain(finding: Finding) -> list[str]:
    return [click.unstyle(line) for line in findings.render(finding, SOURCE)]


def test_the_caret_stands_under_the_spot() -> None:
    assert plain(FINDING) == [
        "a.yaml:3:3: error: Pod web spec.colour: unknown field [unknown-field]",
        "    3 |   colour: red",
        "          ^",
        "    remedy: remove it",
    ]


def test_without_a_place_there_is_one_line() -> None:
    assert plain(Finding(code="x", message="no", severity=Severity.WARNING)) == ["warning: no [x]"]


@pytest.mark.parametrize(("line", "column"), [(99, 1), (3, 500)])
def test_a_place_outside_of_the_file_shows_no_caret(line: int, column: int) -> None:
    finding = Finding(code="x", message="no", file="a.yaml", line=line, column=column)
    assert not any(set(text) == {" ", "^"} for text in plain(finding))


def test_control_characters_of_a_file_never_reach_the_terminal() -> None:
    finding = Finding(code="x", message="no", file="a.yaml", line=1, column=1)
    assert findings.source_line(finding, {"a.yaml": b"\x1b]0;owned\x07"}) == ""


def test_what_the_server_finds_gets_its_exact_place() -> None:
    text = (
        b"apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata:\n  name: web\nspec:\n  tier: x\n"
    )
    loaded = read([("a.yaml", text)])
    said = [
        Finding(code="x", message="no", object="NetworkPolicy default/web", field="spec.tier"),
        Finding(code="y", message="other", object="NetworkPolicy default/unknown"),
    ]
    first, second = findings.placed(said, loaded.objects)
    assert (first.file, first.line, first.column) == ("a.yaml", 6, 3)
    assert second == said[1]


def test_refusal_counts() -> None:
    assert "1 error;" in findings.refusal(1).message
    assert "2 errors;" in findings.refusal(2).message
    assert findings.refusal(2).exit_code == Exit.USAGE
