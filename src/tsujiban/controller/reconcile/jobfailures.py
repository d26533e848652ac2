"""What the failures of a Job's pods mean: the pause before the next pod, and `podFailurePolicy`. Pure.

Both are read off the pods that are there, so a new leader of the controllers goes on where the old one was.
Source: Kubernetes documentation, "Jobs", "Pod backoff failure policy", "Pod failure policy".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tsujiban.controller.world import Json, is_terminating, unstamped

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 600.0  # seconds; it doubles with each failure


def resumed_at(pods: Iterable[Json]) -> float:
    """When the next pod may begin after the failures since the last success, UNIX seconds."""
    failed, success = [], 0.0
    for pod in pods:
        phase = (pod.get("status") or {}).get("phase")
        if phase == "Succeeded":
            success = max(success, ended_at(pod))
        elif phase == "Failed" and not is_terminating(pod):  # what was deleted is replaced at once
            failed.append(ended_at(pod))
    recent = [at for at in failed if at >= success]
    return max(recent) + pause(len(recent)) if recent else 0.0


def pause(failures: int) -> float:
    """Seconds until the next pod, after so many failures (at least one)."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))


def ended_at(pod: Json) -> float:
    """When a pod has ended, UNIX seconds; when it was made, if its node has not said."""
    ended = [unstamped(one.get("finishedAt")) for _, one in _terminated(pod)]
    known = [at for at in ended if at is not None]
    if known:
        return max(known)
    return unstamped(pod["metadata"].get("creationTimestamp")) or 0.0


def action(policy: Any, pod: Json) -> tuple[str, str]:
    """(`Count`, `Ignore`, `FailIndex` or `FailJob`; what the rule saw) for a pod that has failed."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        seen = _seen(rule, pod)
        if seen:
            head = pod["metadata"]
            act = str(rule.get("action"))
            text = (
                f"{seen} for pod {head.get('namespace')}/{head['name']} matching {act} rule at index {number}"
            )
            return act, text
    return "Count", ""


def _seen(rule: Json, pod: Json) -> str:
    wanted = rule.get("onExitCodes")
    if wanted:
        for name, terminated in _terminated(pod):
            code = terminated.get("exitCode") or 0
            named = wanted.get("containerName") in (None, name)
            if code and named and (code in wanted.get("values", ())) is (wanted.get("operator") == "In"):
                return f"Container {name} failed with exit code {code}"
    held = {c["type"]: c["status"] for c in (pod.get("status") or {}).get("conditions", ())}
    for pattern in rule.get("onPodConditions") or ():
        if held.get(pattern.get("type")) == (pattern.get("status") or "True"):
            return f"Pod has condition {pattern.get('type')}"
    return ""


def _terminated(pod: Json) -> Iterator[tuple[str, Json]]:
    """Containers that have ended, by name; a node's word, whose form nobody has checked."""
    found = (pod.get("status") or {}).get("containerStatuses")
    for status in found if isinstance(found, list) else ():
        state = status.get("state") if isinstance(status, dict) else None
        terminated = state.get("terminated") if isinstance(state, dict) else None
        if isinstance(terminated, dict):
            yield str(status.get("name")), terminated
