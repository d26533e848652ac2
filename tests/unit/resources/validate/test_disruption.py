"""Disruption budgets."""

from __future__ import annotations

from typing import Any

import pytest

SELECTOR = {"matchLabels": {"app": "web"}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"minAvailable": 1}, set()),
        ({"maxUnavailable": "50%", "unhealthyPodEvictionPolicy": "AlwaysAllow"}, set()),
        ({"minAvailable": "100%"}, set()),
        ({}, set()),
        ({"minAvailable": 1, "maxUnavailable": 1}, {("spec.maxUnavailable", "conflict")}),
        ({"minAvailable": -1}, {("spec.minAvailable", "out-of-range")}),
        ({"minAvailable": "101%"}, {("spec.minAvailable", "out-of-range")}),
        ({"maxUnavailable": "half"}, {("spec.maxUnavailable", "bad-value")}),
        ({"unhealthyPodEvictionPolicy": "Never"}, {("spec.unhealthyPodEvictionPolicy", "bad-value")}),
        (
            {"selector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}},
            {("spec.selector.matchExpressions[0].operator", "bad-value")},
        ),
    ],
)
def test_spec(judge: Any, fields: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert judge("policy/v1", "PodDisruptionBudget", spec={"selector": SELECTOR, **fields}) == expected
