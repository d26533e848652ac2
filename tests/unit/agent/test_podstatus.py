"""Phases, conditions and container states as Kubernetes names them."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.agent.podstatus import ContainerView, pod_status

POD: dict[str, Any] = {"spec": {}, "status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}}


def status(*views: ContainerView, policy: str = "Always", sidecar: bool | None = True) -> dict[str, Any]:
    pod = {**POD, "spec": {"restartPolicy": policy}}
    return pod_status(pod, list(views), host_ip="172.31.255.11", started_at=0.0, sidecar=sidecar)


def condition(found: dict[str, Any], kind: str) -> str:
    (value,) = [c["status"] for c in found["conditions"] if c["type"] == kind]
    return str(value)


RUNNING = ContainerView("main", "host", "running", ready=True, started_at=60.0)


def test_running_and_ready() -> None:
    found = status(RUNNING)
    assert (found["phase"], condition(found, "Ready"), found["startTime"]) == (
        "Running",
        "True",
        "1970-01-01T00:00:00Z",
    )
    assert found["containerStatuses"][0]["state"] == {"running": {"startedAt": "1970-01-01T00:01:00Z"}}


def test_not_ready_before_its_proxy_is() -> None:
    assert condition(status(RUNNING, sidecar=False), "Ready") == "False"
    assert condition(status(RUNNING, sidecar=None), "Ready") == "True"


def test_not_ready_when_one_container_is_not() -> None:
    second = ContainerView("two", "host", "running", ready=False)
    assert condition(status(RUNNING, second), "Ready") == "False"


def test_pending_before_anything_runs() -> None:
    found = status(ContainerView("main", "host", "waiting"))
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_a_crash_loop_says_so() -> None:
    found = status(ContainerView("main", "host", "backoff", restarts=3, exit_code=1))
    assert found["phase"] == "Running"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}
    assert found["containerStatuses"][0]["lastState"] == {"terminated": {"exitCode": 1, "reason": "Error"}}


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (3, "Failed")])
def test_a_pod_that_may_end_ends(code: int, phase: str) -> None:
    assert status(ContainerView("main", "host", "exited", exit_code=code), policy="Never")["phase"] == phase


def test_a_first_failure_that_is_tried_again_is_not_the_end() -> None:
    found = status(ContainerView("main", "host", "backoff", exit_code=1), policy="OnFailure")
    assert found["phase"] == "Running"
    assert status(ContainerView("main", "host", "backoff"))["phase"] == "Pending"  # it could not be started


def test_an_end_says_when_and_how() -> None:
    view = ContainerView("main", "host", "exited", last_started_at=1000.5, ended_at=2000.5, exit_code=-9)
    (container,) = status(view, policy="Never")["containerStatuses"]
    assert container["state"]["terminated"] == {
        "exitCode": 137,
        "reason": "Error",
        "startedAt": "1970-01-01T00:16:40Z",
        "finishedAt": "1970-01-01T00:33:20Z",
    }


def test_last_words_are_told_of_the_incarnation_that_has_ended() -> None:
    view = ContainerView(
        "main", "host", "running", restarts=1, started_at=3000.0, last_started_at=1000.5, ended_at=2000.5,
        exit_code=1, last_words="no disk",
    )  # fmt: skip
    (container,) = status(view)["containerStatuses"]
    assert container["lastState"]["terminated"] == {
        "exitCode": 1,
        "reason": "Error",
        "startedAt": "1970-01-01T00:16:40Z",
        "finishedAt": "1970-01-01T00:33:20Z",
        "message": "no disk",
    }
    assert container["state"] == {"running": {"startedAt": "1970-01-01T00:50:00Z"}}


@pytest.mark.parametrize(
    ("code", "reason"), [(137, "OOMKilled"), (-9, "OOMKilled"), (1, "Error"), (0, "Completed")]
)
def test_killed_for_memory(code: int, reason: str) -> None:
    view = ContainerView("main", "host", "exited", exit_code=code, last_oom=True)
    (container,) = status(view, policy="Never")["containerStatuses"]
    assert container["state"]["terminated"]["reason"] == reason


def test_limits_that_the_machine_cannot_set_are_told() -> None:
    found = pod_status(
        POD, [RUNNING], host_ip="1.1.1.1", started_at=0.0, sidecar=None, unlimited=["cpu", "memory"]
    )
    assert found["conditions"][-1] == {
        "type": "tsujiban.io/LimitsEnforced",
        "status": "False",
        "reason": "NoControlGroup",
        "message": "nothing makes its containers keep to their limits: the node has no cpu or memory control"
        " group that can be used",
    }
