from __future__ import annotations

from typing import Any

import pytest

from tsujiban.cli import printers
from tsujiban.resources.registry import resolve

POD: dict[str, Any] = {
    "metadata": {"name": "web-1", "namespace": "shop", "creationTimestamp": "1970-01-01T00:00:00Z"},
    "spec": {"nodeName": "node-1", "containers": [{"name": "a"}, {"name": "b"}]},
    "status": {
        "phase": "Running",
        "podIP": "10.244.0.7",
        "containerStatuses": [{"ready": True, "restartCount": 2}, {"ready": False, "restartCount": 1}],
    },
}


def test_a_pod_row() -> None:
    titles, rows = printers.table(resolve("pods"), [POD], 60.0, wide=True, with_namespace=True)
    assert titles == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "IP", "NODE", "ACCOUNT", "AGE"]
    assert rows == [["shop", "web-1", "1/2", "Running", "3", "10.244.0.7", "node-1", "default", "60s"]]


def test_prefix_tells_kinds_apart() -> None:
    _, rows = printers.table(resolve("pods"), [POD], 60.0, prefix=True)
    assert rows[0][0] == "pod/web-1"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (
            {"status": {"containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}},
            "CrashLoopBackOff",
        ),
        (
            {"status": {"containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}]}},
            "Completed",
        ),
        ({"status": {}}, "Pending"),
        ({"metadata": {"name": "x", "deletionTimestamp": "1970-01-01T00:00:00Z"}}, "Terminating"),
    ],
)
def test_pod_phase_says_why(change: dict[str, Any], word: str) -> None:
    assert printers.pod_phase({**POD, **change}) == word


@pytest.mark.parametrize(
    ("generation", "status", "text"),
    [(1, "True", "2/2 nodes"), (2, "True", "waiting (2/2 nodes)"), (1, "False", "waiting (2/2 nodes)")],
)
def test_a_policy_is_enforced_only_as_it_stands_now(generation: int, status: str, text: str) -> None:
    condition = {"type": "Enforced", "status": status, "observedGeneration": 1, "message": "2/2 nodes"}
    policy = {"metadata": {"generation": generation}, "status": {"conditions": [condition]}}
    assert printers.enforced(policy) == text


def test_a_policy_without_status_is_not_enforced() -> None:
    assert printers.enforced({"metadata": {"generation": 1}}) == "no"


def test_service_ports_and_selector() -> None:
    service = {
        "metadata": {"name": "dns"},
        "spec": {
            "clusterIP": "10.96.0.10",
            "ports": [{"port": 53, "protocol": "UDP"}],
            "selector": {"app": "dns"},
        },
    }
    _, rows = printers.table(resolve("services"), [service], 0.0, wide=True)
    assert rows == [["dns", "10.96.0.10", "53/UDP", "app=dns", "<unknown>"]]


def test_every_column_can_read_an_empty_object() -> None:
    for found in printers.COLUMNS.values():
        for column in found:
            assert isinstance(column.cell({"metadata": {"name": "x"}}), str)


def test_a_node_says_that_it_is_closed_to_new_pods() -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert printers.node_state(ready) == "Ready"
    assert printers.node_state({**ready, "spec": {"unschedulable": True}}) == "Ready,SchedulingDisabled"
    assert (
        printers.node_state({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})
        == "NotReady"
    )
