"""Lint: what is wrong with policies that are valid. `lint` is the whole of it; the rest is its parts."""

from __future__ import annotations

from tsujiban.policy.lint.codes import CODES, Code, Level, LintFinding
from tsujiban.policy.lint.run import lint

__all__ = ["CODES", "Code", "Level", "LintFinding", "lint"]
