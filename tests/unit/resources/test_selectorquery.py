"""Selectors as a server is asked by them."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources.selectorquery import as_query


@pytest.mark.parametrize(
    ("selector", "query"),
    [
        ({}, ""),
        ({"matchLabels": None}, ""),
        ({"b": "2", "a": "1"}, "a=1,b=2"),
        ({"matchLabels": {"app": "web"}}, "app=web"),
        (
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [
                    {"key": "tier", "operator": "In", "values": ["a", "b"]},
                    {"key": "zone", "operator": "NotIn", "values": ["x"]},
                    {"key": "old", "operator": "DoesNotExist"},
                    {"key": "new", "operator": "Exists"},
                ],
            },
            "app=web,tier in (a,b),zone notin (x),!old,new",
        ),
    ],
)
def test_the_query_of_a_selector(selector: dict[str, Any], query: str) -> None:
    assert as_query(selector) == query
