"""docs/resources.md names every finding code and every kind, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tsujiban.resources.registry import KINDS

ROOT = Path(__file__).resolve().parents[3]
DOCS = (ROOT / "docs" / "resources.md").read_text()
SOURCES = sorted((ROOT / "src" / "tsujiban" / "resources").rglob("*.py"))
CODE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

# functions that take a code, and which argument it is
TAKERS = {
    "error": 1,
    "warning": 1,
    "between": 4,
    "problem": 0,
    "report": 0,
    "_tell": 0,
    "_problem": 1,
    "_finding": 2,
    "NotJSON": 0,
    "setdefault": 0,
}


def _codes(tree: ast.AST) -> Iterator[object]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
            yield from (n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant))
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        found = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        if name in TAKERS and len(node.args) > TAKERS[name]:
            found.append(node.args[TAKERS[name]])
        yield from (n.value for n in found if isinstance(n, ast.Constant))


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    used = {
        code
        for source in SOURCES
        for code in _codes(ast.parse(source.read_text()))
        if isinstance(code, str) and CODE.fullmatch(code) and (code == "empty" or "-" in code or code in DOCS)
    }
    used |= {"out-of-range"}  # the default of Report.between
    documented = set(re.findall(r"^\| `([a-z0-9-]+)` \|", DOCS.partition("## Findings")[2], re.MULTILINE))
    assert used - {"from", "to"} == documented


def test_every_kind_is_documented() -> None:
    for kind in KINDS:
        assert kind.kind in DOCS
        assert kind.api_version in DOCS
