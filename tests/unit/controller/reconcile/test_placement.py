"""Which nodes a pod asks for."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.reconcile import placement

NODE = {"metadata": {"name": "n1", "labels": {"disk": "fast", "cores": "8"}}}


def affinity(*terms: Any, **more: Any) -> dict[str, Any]:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": {**required, **more}}}


def asks(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("key", "operator", "values", "holds"),
    [
        ("disk", "In", ["slow", "fast"], True),
        ("disk", "In", ["slow"], False),
        ("rack", "In", ["a"], False),
        ("disk", "NotIn", ["fast"], False),
        ("rack", "NotIn", ["a"], True),
        ("disk", "Exists", [], True),
        ("rack", "Exists", [], False),
        ("rack", "DoesNotExist", [], True),
        ("cores", "Gt", ["4"], True),
        ("cores", "Gt", ["8"], False),
        ("cores", "Lt", ["9"], True),
        ("disk", "Lt", ["9"], False),
        ("disk", "Near", ["x"], False),
    ],
)
def test_each_operator(key: str, operator: str, values: list[str], holds: bool) -> None:
    assert placement.wants(NODE, affinity(asks(key, operator, *values))) is holds


def test_one_of_the_terms_is_enough_and_an_empty_one_is_none() -> None:
    assert placement.wants(NODE, affinity(asks("rack", "Exists"), asks("disk", "Exists")))
    assert not placement.wants(NODE, affinity({}))
    assert not placement.wants(NODE, affinity())
    assert placement.wants(NODE, {})


def test_the_selector_knows_a_node_by_its_name() -> None:
    assert placement.wants(NODE, {"nodeSelector": {"kubernetes.io/hostname": "n1", "disk": "fast"}})
    assert not placement.wants(NODE, {"nodeSelector": {"disk": "slow"}})


@pytest.mark.parametrize(
    "odd", [1, [], {"nodeAffinity": 1}, {"nodeAffinity": {"a": 1}}, affinity(1, "x")["affinity"]]
)
def test_what_is_no_affinity_stops_nobody(odd: Any) -> None:
    assert placement.wants(NODE, {"affinity": odd}) in (True, False)
    assert placement.preference(NODE, {"affinity": odd}) == 0
    assert placement.pinned({"affinity": odd}) == ""


def test_preferences_add_up() -> None:
    entries = [
        {"weight": 5, "preference": asks("disk", "Exists")},
        {"weight": 7, "preference": asks("rack", "Exists")},
        {"weight": 1, "preference": asks("cores", "Gt", "1")},
    ]
    spec = {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": entries}}}
    assert placement.preference(NODE, spec) == 6
    assert placement.preference(NODE, {"affinity": placement.pin(spec, "n1")}) == 6


def test_a_pinned_pod_is_for_one_node() -> None:
    spec = {"affinity": placement.pin(affinity(asks("rack", "Exists")), "n1")}
    assert placement.pinned(spec) == "n1"
    assert placement.wants(NODE, spec)
    assert not placement.wants({"metadata": {"name": "n2"}}, spec)
    assert placement.pinned(affinity(asks("disk", "Exists"))) == ""
