from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.api import columns
from tsujiban.controller.distribution import POLICY_KINDS
from tsujiban.resources.registry import KINDS, resolve


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (187, "3m7s"),
        (1500, "25m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 180, "5h3m"),
        (23 * 3600, "23h"),
        (4 * 86400 + 7200, "4d2h"),
        (30 * 86400, "30d"),
    ],
)
def test_duration(seconds: int, text: str) -> None:
    assert columns.duration(seconds) == text


def cells(word: str, document: dict[str, Any]) -> dict[str, Any]:
    kind = resolve(word)
    return {column.title: column.cell(document) for column in columns.of(kind.group, kind.plural)}


def test_every_kind_has_rows_whatever_an_object_holds() -> None:
    odd: list[Any] = [
        {},
        {"spec": None},
        {"spec": [], "status": 1},
        {"spec": {"ports": [1], "selector": "x"}},
    ]
    for kind in KINDS:
        for fields in odd:
            for column in columns.of(kind.group, kind.plural):
                column.cell({"metadata": {"name": "a"}, **fields})


def test_columns_belong_to_kinds_that_exist() -> None:
    assert set(columns.COLUMNS) <= {(kind.group, kind.plural) for kind in KINDS}


def test_pod() -> None:
    statuses = [{"ready": True, "restartCount": 2}, {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    pod = {
        "metadata": {"name": "a"},
        "spec": {"containers": [{}, {}], "nodeName": "n1"},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": statuses},
    }
    found = cells("pods", pod)
    assert (found["Ready"], found["Status"], found["Restarts"]) == ("1/2", "CrashLoopBackOff", 2)
    assert (found["IP"], found["Node"]) == ("10.0.0.1", "n1")
    assert cells("pods", {"metadata": {"deletionTimestamp": "x"}})["Status"] == "Terminating"


def test_policies_show_where_they_are_enforced() -> None:
    conditions = [{"type": "Enforced", "status": "True", "message": "2/2 nodes"}]
    policy = {"metadata": {"name": "a"}, "spec": {"order": 0}, "status": {"conditions": conditions}}
    found = cells("networkpolicies.projectcalico.org", policy)
    assert (found["Tier"], found["Order"], found["Enforced"]) == ("default", "0", "2/2 nodes")


def test_selector() -> None:
    selector = {
        "matchLabels": {"a": "b"},
        "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}],
    }
    assert cells("netpol", {"spec": {"podSelector": selector}})["Pod-Selector"] == "a=b,c in (d)"


@pytest.mark.parametrize(("count", "shown"), [(None, "<none>"), (0, "0 endpoints"), (1, "1 endpoint")])
def test_every_kind_of_policy_tells_what_it_selects_and_where_it_is_in_force(
    count: int | None, shown: str
) -> None:
    enforced = {"type": "Enforced", "status": "False", "message": "1/2 nodes"}
    status = {"conditions": [{"type": "Accepted"}, enforced], "selectedEndpoints": count}
    policies = [kind for kind in KINDS if kind.kind in POLICY_KINDS]
    assert len(policies) == len(POLICY_KINDS) + 1  # two are called NetworkPolicy
    for kind in policies:
        found = {column.title: column for column in columns.of(kind.group, kind.plural)}
        assert found["Selects"].cell({"status": status}) == shown
        assert found["Selects"].priority == 1
        assert found["Enforced"].cell({"status": status}) == "1/2 nodes"


def test_a_node_says_that_it_is_closed_to_new_pods() -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert columns._node_status(ready) == "Ready"
    assert columns._node_status({**ready, "spec": {"unschedulable": True}}) == "Ready,SchedulingDisabled"
    assert columns._node_status({}) == "Unknown"
