"""What is said of a pod: the Kubernetes PodStatus, from what is known of its processes. Pure.

Source: Kubernetes "Pod Lifecycle" (phases, conditions, container states).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]


# of a pod that was deleted, when nothing of it is left on its node
ENDED: Json = {
    "phase": "Failed",
    "reason": "Terminated",
    "conditions": [{"type": "Ready", "status": "False", "reason": "PodFailed"}],
}


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container as the supervisor and its probe see it. Times in UNIX seconds."""

    name: str
    image: str
    state: str  # waiting, running, backoff, exited
    ready: bool = False
    restarts: int = 0
    started_at: float = 0.0
    exit_code: int | None = None
    reason: str = ""
    message: str = ""


def pod_status(
    pod: Json, containers: list[ContainerView], *, host_ip: str, started_at: float, sidecar: bool | None
) -> Json:
    """The status of a running pod. `sidecar` is None when the pod has no proxy, else whether it is ready."""
    all_ready = bool(containers) and all(view.ready for view in containers) and sidecar is not False
    status: Json = {
        "phase": _phase(pod, containers),
        "podIP": pod["status"]["podIP"],
        "podIPs": pod["status"]["podIPs"],
        "hostIP": host_ip,
        "startTime": _time(started_at),
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Initialized", "status": "True"},
            {"type": "ContainersReady", "status": _truth(all_ready)},
            {"type": "Ready", "status": _truth(all_ready)},
        ],
        "containerStatuses": [_container(view) for view in containers],
    }
    if sidecar is not None:
        status["conditions"].append({"type": "tsujiban.io/ProxyReady", "status": _truth(sidecar)})
    return status


def is_ready(pod: Json) -> bool:
    """Whether a pod's Ready condition is True."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _phase(pod: Json, containers: list[ContainerView]) -> str:
    policy = pod["spec"].get("restartPolicy", "Always")
    if any(view.state == "running" or (view.state == "backoff" and view.restarts) for view in containers):
        return "Running"
    over = bool(containers) and all(view.state == "exited" for view in containers)
    if over and policy != "Always":
        return "Failed" if any(view.exit_code for view in containers) else "Succeeded"
    return "Pending"


def _container(view: ContainerView) -> Json:
    if view.state == "running":
        state: Json = {"running": {"startedAt": _time(view.started_at)}}
    elif view.state == "exited":
        code = view.exit_code or 0
        state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
    else:
        reason = view.reason or ("CrashLoopBackOff" if view.state == "backoff" else "ContainerCreating")
        state = {"waiting": {"reason": reason} | ({"message": view.message} if view.message else {})}
    result: Json = {
        "name": view.name,
        "image": view.image,
        "imageID": "",
        "ready": view.ready,
        "started": view.state == "running",
        "restartCount": view.restarts,
        "state": state,
    }
    if view.restarts and view.exit_code is not None:
        result["lastState"] = {"terminated": {"exitCode": view.exit_code}}
    return result


def _truth(value: bool) -> str:
    return "True" if value else "False"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
