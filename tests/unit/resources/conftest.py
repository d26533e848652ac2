"""Judging single objects, for the tests of the kinds' checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tsujiban.resources import load

Judge = Callable[..., set[tuple[str, str]]]


@pytest.fixture
def judge() -> Judge:
    """Judges an object by its apiVersion, kind and other fields: (field, code) of every finding."""

    def told(api_version: str, kind: str, name: str = "x", /, **fields: Any) -> set[tuple[str, str]]:
        raw = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}
        return {(finding.field, finding.code) for finding in load.check(raw).findings}

    return told
