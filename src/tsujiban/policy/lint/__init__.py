"""Lint: what is wrong with policies that are valid. `lint_objects` is the whole; the rest is its parts."""

from __future__ import annotations

from tsujiban.policy.lint.codes import CODES, Code, Level, LintFinding
from tsujiban.policy.lint.run import lint_objects

__all__ = ["CODES", "Code", "Level", "LintFinding", "lint_objects"]
