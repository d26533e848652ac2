"""What is said of a pod: the Kubernetes PodStatus, from what is known of its processes. Pure.

Source: Kubernetes "Pod Lifecycle" (phases, conditions, container states).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tsujiban.agent.containers import Stage

Json = dict[str, Any]

LIMITS_ENFORCED = "tsujiban.io/LimitsEnforced"  # a condition, told when it is False
KILLED = 137  # exit code of what SIGKILL has ended

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
    ended_at: float = 0.0
    last_started_at: float = 0.0  # of the incarnation that has ended last
    last_words: str = ""  # likewise
    last_oom: bool = False  # likewise: the kernel had killed in it for want of memory
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    stage: Stage = Stage.MAIN
    started: bool = True

    @property
    def passed(self) -> bool:
        """Of those that come first: whether the next may have its turn."""
        if self.stage is Stage.INIT:
            return self.state == "exited" and not self.exit_code
        return self.state == "running" and self.started


def pod_status(
    pod: Json,
    views: list[ContainerView],
    *,
    host_ip: str,
    started_at: float,
    sidecar: bool | None,
    initialized: bool = True,
    unlimited: Sequence[str] = (),
) -> Json:
    """The status of a running pod. `sidecar` is None when the pod has no proxy, else whether it is ready;
    `initialized` says whether the main containers have had their turn; `unlimited` are limits that the
    machine cannot make them keep to."""
    first = [view for view in views if view.stage is not Stage.MAIN]
    containers = [view for view in views if view.stage is Stage.MAIN]
    all_ready = bool(containers) and all(view.ready for view in views) and sidecar is not False
    before = "ContainerCreating" if initialized else "PodInitializing"
    status: Json = {
        "phase": _phase(pod, containers) if initialized else _early_phase(first),
        "podIP": pod["status"]["podIP"],
        "podIPs": pod["status"]["podIPs"],
        "hostIP": host_ip,
        "startTime": _time(started_at),
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            _initialized(first, initialized),
            {"type": "ContainersReady", "status": _truth(all_ready)},
            {"type": "Ready", "status": _truth(all_ready)},
        ],
        "containerStatuses": [_container(view, before) for view in containers],
    }
    if first:
        status["initContainerStatuses"] = [_container(view, before) for view in first]
    if unlimited:
        message = f"nothing makes its containers keep to their limits: the node has no {unlimited[0]}"
        message = " or ".join([message, *unlimited[1:]]) + " control group that can be used"
        unlimited_condition = {"type": LIMITS_ENFORCED, "status": "False", "reason": "NoControlGroup"}
        status["conditions"].append({**unlimited_condition, "message": message})
    if sidecar is not None:
        status["conditions"].append({"type": "tsujiban.io/ProxyReady", "status": _truth(sidecar)})
    return status


def is_ready(pod: Json) -> bool:
    """Whether a pod's Ready condition is True."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _initialized(first: list[ContainerView], initialized: bool) -> Json:
    if initialized:
        return {"type": "Initialized", "status": "True"}
    left = " ".join(view.name for view in first if not view.passed)
    message = f"containers with incomplete status: [{left}]"
    return {
        "type": "Initialized",
        "status": "False",
        "reason": "ContainersNotInitialized",
        "message": message,
    }


def _early_phase(first: list[ContainerView]) -> str:
    failed = any(view.stage is Stage.INIT and view.state == "exited" and view.exit_code for view in first)
    return "Failed" if failed else "Pending"


def _phase(pod: Json, containers: list[ContainerView]) -> str:
    policy = pod["spec"].get("restartPolicy", "Always")
    if any(_goes_on(view) for view in containers):
        return "Running"
    over = bool(containers) and all(view.state == "exited" for view in containers)
    if over and policy != "Always":
        return "Failed" if any(view.exit_code for view in containers) else "Succeeded"
    return "Pending"


def _goes_on(view: ContainerView) -> bool:
    """Whether a container runs, or has run and will again."""
    return view.state == "running" or (
        view.state == "backoff" and (view.restarts > 0 or view.exit_code is not None)
    )


def _container(view: ContainerView, before: str) -> Json:
    if view.state == "running":
        state: Json = {"running": {"startedAt": _time(view.started_at)}}
    elif view.state == "exited":
        state = {"terminated": _terminated(view)}
    else:
        reason = view.reason or ("CrashLoopBackOff" if view.state == "backoff" else before)
        state = {"waiting": {"reason": reason} | ({"message": view.message} if view.message else {})}
    result: Json = {
        "name": view.name,
        "image": view.image,
        "imageID": "",
        "ready": view.ready,
        "started": view.state == "running" and view.started and view.stage is not Stage.INIT,
        "restartCount": view.restarts,
        "state": state,
    }
    if view.restarts and view.exit_code is not None:
        result["lastState"] = {"terminated": _terminated(view)}
    return result


def _exit_code(code: int | None) -> int:
    """As container runtimes tell it: 128 and the number of the signal that has ended it."""
    return 128 - code if code and code < 0 else code or 0


def _terminated(view: ContainerView) -> Json:
    code = _exit_code(view.exit_code)
    times = {"startedAt": view.last_started_at, "finishedAt": view.ended_at}
    said = {name: _time(at) for name, at in times.items() if at}
    message = {"message": view.last_words} if view.last_words else {}
    reason = "OOMKilled" if view.last_oom and code == KILLED else "Error" if code else "Completed"
    return {"exitCode": code, "reason": reason, **said, **message}


def _truth(value: bool) -> str:
    return "True" if value else "False"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
