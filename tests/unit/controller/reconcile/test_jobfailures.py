"""What failures of pods mean to their Job."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.reconcile import jobfailures
from tsujiban.controller.world import Json, stamp

NOW = 1_700_000_000.0


def pod(phase: str, at: float, code: int = 1, **metadata: Any) -> Json:
    terminated = {"exitCode": code, "finishedAt": stamp(at)}
    statuses = [{"name": "main", "state": {"terminated": terminated}}]
    return {
        "metadata": {"name": "p", "namespace": "default", **metadata},
        "status": {"phase": phase, "containerStatuses": statuses},
    }


@pytest.mark.parametrize(("failures", "pause"), [(1, 10), (2, 20), (3, 40), (7, 600), (40, 600)])
def test_the_pause_doubles(failures: int, pause: float) -> None:
    assert jobfailures.resumed_at([pod("Failed", NOW)] * failures) == NOW + pause


def test_a_success_begins_anew_and_what_was_deleted_does_not_count() -> None:
    failed = pod("Failed", NOW)
    assert jobfailures.resumed_at([failed, pod("Succeeded", NOW + 1)]) == 0
    assert jobfailures.resumed_at([failed, pod("Succeeded", NOW - 1)]) == NOW + 10
    assert jobfailures.resumed_at([pod("Failed", NOW, deletionTimestamp=stamp(NOW))]) == 0
    assert jobfailures.resumed_at([pod("Running", NOW)]) == 0
    never_ran = {"metadata": {"creationTimestamp": stamp(NOW)}, "status": {"phase": "Failed"}}
    assert jobfailures.resumed_at([never_ran]) == NOW + 10


def rule(action: str, operator: str, *values: int, **more: Any) -> Json:
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(values), **more}}


def test_the_first_rule_that_fits_decides() -> None:
    policy = {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            rule("FailJob", "In", 42),
            rule("Count", "NotIn", 7, containerName="main"),
            rule("FailJob", "NotIn", 8, containerName="other"),
        ]
    }
    action, why = jobfailures.action(policy, pod("Failed", NOW, code=42))
    assert action == "FailJob"
    assert why == "Container main failed with exit code 42 for pod default/p matching FailJob rule at index 1"
    assert jobfailures.action(policy, pod("Failed", NOW, code=3))[0] == "Count"
    assert jobfailures.action(policy, pod("Failed", NOW, code=7)) == ("Count", "")
    disrupted = pod("Failed", NOW, code=42)
    disrupted["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    assert jobfailures.action(policy, disrupted)[0] == "Ignore"
    assert jobfailures.action(None, disrupted) == ("Count", "")
