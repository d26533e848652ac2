"""The pages of the codes: each has a bad example, which is found, and a good one, which is clean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tsujiban.policy.lint import CODES, lint_objects, space
from tsujiban.policy.lint.codes import NO_EGRESS_DENY, NOT_JUDGED
from tsujiban.resources.load import read

DOCS = Path(__file__).parents[4] / "docs"


def example(code: str, title: str) -> bytes:
    page = (DOCS / "lint" / f"{code}.md").read_text()
    match = re.search(rf"^## {title}\n```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1].encode()


def loud(text: bytes) -> set[str]:
    sources = {"a.yaml": text}
    loaded = read(sources.items(), offline=True)
    assert loaded.ok, loaded.findings
    found = lint_objects(loaded.objects, sources=sources, findings=loaded.findings)
    return {one.code for one in found if one.silenced is None}


@pytest.fixture(autouse=True)
def _small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page about too much traffic has a small example of it."""
    if NOT_JUDGED.id in request.node.name:
        monkeypatch.setattr(space, "MAX_CELLS", 80)


@pytest.mark.parametrize("code", CODES)
def test_the_bad_example_is_found(code: str) -> None:
    assert code in loud(example(code, "Bad"))


@pytest.mark.parametrize("code", CODES)
def test_the_good_example_is_clean(code: str) -> None:
    assert loud(example(code, "Good")) <= {NO_EGRESS_DENY.id} - {code}


@pytest.mark.parametrize("code", CODES)
def test_the_page_says_name_summary_and_severity(code: str) -> None:
    one = CODES[code]
    head = (DOCS / "lint" / f"{code}.md").read_text()[:400]
    assert head.startswith(f"# {one.id} {one.name}\n\n{one.summary} Severity: {one.level}.\n")


def test_no_page_without_a_code() -> None:
    assert {path.stem for path in (DOCS / "lint").glob("*.md")} == CODES.keys()


def test_the_table_of_codes_is_whole() -> None:
    page = (DOCS / "lint.md").read_text()
    for code in CODES.values():
        assert f"| [{code.id}](lint/{code.id}.md) | `{code.name}` | {code.level} | {code.summary} |" in page
