from __future__ import annotations

from tsujiban.controller.reconcile import gates
from tsujiban.controller.reconcile.actions import Update
from tsujiban.controller.world import PODS, Json, Ref, World

REF = Ref(*PODS, "default", "web")


def pod(gate: str) -> Json:
    conditions = [
        {"type": "ContainersReady", "status": "True"},
        {"type": "Ready", "status": "True"},
        {"type": "example.com/open", "status": gate},
    ]
    return {
        "metadata": {"name": "web", "resourceVersion": "7"},
        "spec": {"readinessGates": [{"conditionType": "example.com/open"}]},
        "status": {"phase": "Running", "conditions": conditions},
    }


def test_a_gate_that_closes_is_written_and_one_that_is_as_it_was_is_not() -> None:
    world = World()
    assert gates.plan(world, REF, 1000.0) == []
    world.put(REF, pod("True"))
    assert gates.plan(world, REF, 1000.0) == []
    world.put(REF, pod("False"))
    (action,) = gates.plan(world, REF, 1000.0)
    assert isinstance(action, Update)
    assert action.obj["metadata"]["resourceVersion"] == "7"
    assert action.obj["status"]["phase"] == "Running"
    assert action.obj["status"]["conditions"][1]["reason"] == "ReadinessGatesNotReady"


def test_whether_a_pod_has_gates() -> None:
    assert gates.has(pod("True"))
    assert not gates.has({"spec": {}})
