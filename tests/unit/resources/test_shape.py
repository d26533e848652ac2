"""Plain data to structs, with every problem at once."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources.kinds.calico import NetworkPolicy
from tsujiban.resources.kinds.core import Pod
from tsujiban.resources.shape import MAX_DEPTH, TooDeep, convert, describe, holds_null


def told(data: dict[str, Any], nulls: bool = False) -> list[tuple[tuple[str | int, ...], str]]:
    _, problems = convert(data, NetworkPolicy, nulls=nulls)
    return [(problem.path, problem.code) for problem in problems]


def test_what_is_right_is_typed() -> None:
    policy, problems = convert(
        {"spec": {"order": 5, "ingress": [{"notICMP": {"type": 8}}]}}, NetworkPolicy, nulls=False
    )
    assert problems == []
    assert policy is not None
    assert policy.spec.order == 5.0
    assert policy.spec.ingress[0].not_icmp is not None


def test_every_problem_is_told_and_the_rest_survives() -> None:
    data = {
        "metadata": {"labels": {"a": 1, "b": "x"}},
        "spec": {
            "slector": "all()",
            "order": "5",
            "ingress": [{"action": "Allow", "protocl": "TCP"}, None, "x"],
            "egress": {"action": "Deny"},
            "nonsense": 1,
        },
    }
    policy, problems = convert(data, NetworkPolicy, nulls=True)
    assert {(problem.path, problem.code) for problem in problems} == {
        (("metadata", "labels", "a"), "wrong-type"),
        (("spec", "slector"), "unknown-field"),
        (("spec", "order"), "wrong-type"),
        (("spec", "ingress", 0, "protocl"), "unknown-field"),
        (("spec", "ingress", 1), "empty-item"),
        (("spec", "ingress", 2), "wrong-type"),
        (("spec", "egress"), "wrong-type"),
        (("spec", "nonsense"), "unknown-field"),
    }
    hints = {problem.path[-1]: problem.hint for problem in problems}
    assert hints["slector"] == "did you mean 'selector'?"
    assert hints["a"] == "put it in quotes"
    assert policy is not None
    assert policy.spec.selector == "all()"
    assert policy.spec.ingress[0].protocol == "TCP"
    assert policy.metadata.labels == {"b": "x"}


def test_a_null_is_a_problem_where_it_was_left_in() -> None:
    assert told({"spec": {"order": None}}, nulls=True) == [(("spec", "order"), "wrong-type")]


def test_a_whole_number_is_an_integer() -> None:
    policy, problems = convert({"spec": {"ingress": [{"ipVersion": 4.0}]}}, NetworkPolicy, nulls=False)
    assert problems == []
    assert policy is not None
    assert policy.spec.ingress[0].ip_version == 4


def test_a_system_may_write_more_than_we_know() -> None:
    pod, problems = convert({"status": {"podIP": "10.0.0.1", "newField": {"x": 1}}}, Pod, nulls=False)
    assert problems == []
    assert pod is not None
    assert pod.status is not None
    assert pod.status.pod_ip == "10.0.0.1"


def test_depth_is_bounded() -> None:
    data: Any = "x"
    for _ in range(MAX_DEPTH + 2):
        data = [data]
    with pytest.raises(TooDeep):
        holds_null(data)
    assert holds_null({"a": [1, {"b": None}]})
    assert not holds_null({"a": [1, {"b": ""}]})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "empty"),
        (True, "the boolean true"),
        (1, "the number 1"),
        ("x", "the string 'x'"),
        ([], "a list"),
        ({}, "a mapping"),
    ],
)
def test_describe(data: Any, text: str) -> None:
    assert describe(data) == text
