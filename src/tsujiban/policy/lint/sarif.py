"""SARIF 2.1.0 (OASIS), the form in which code hosts take findings and show them beside the lines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from tsujiban.policy.lint.codes import CODES, Level, LintFinding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}


def render(findings: Iterable[LintFinding], version: str) -> dict[str, Any]:
    """The log of one run. `version` is Tsujiban's."""
    codes = sorted(CODES)
    rules = [
        {
            "id": code,
            "name": "".join(word.capitalize() for word in CODES[code].name.split("-")),
            "shortDescription": {"text": CODES[code].summary},
            "help": {"text": f"{CODES[code].summary} See {CODES[code].page}."},
            "defaultConfiguration": {"level": _LEVELS[CODES[code].level]},
        }
        for code in codes
    ]
    driver = {"name": "tsujiban", "semanticVersion": version, "rules": rules}
    results = [_result(one, codes.index(one.code)) for one in findings]
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(one: LintFinding, index: int) -> dict[str, Any]:
    text = " ".join(part for part in (one.object, one.field) if part)
    message = f"{text}: {one.message}" if text else one.message
    result: dict[str, Any] = {
        "ruleId": one.code,
        "ruleIndex": index,
        "level": _LEVELS[one.severity],
        "message": {"text": f"{message}. {one.hint}" if one.hint else message},
    }
    if one.file:
        place: dict[str, Any] = {"artifactLocation": {"uri": quote(PurePath(one.file).as_posix())}}
        if one.line:
            place["region"] = {"startLine": one.line, **({"startColumn": one.column} if one.column else {})}
        result["locations"] = [{"physicalLocation": place}]
    if one.silenced is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": one.silenced}]
    return result
