"""Taints: who may run on a node, and who must leave it, as Kubernetes' node and taint controllers decide.

Three taints are the control plane's own: a node that a person has cordoned, one that says that it is not
ready, and one that says nothing. From the last two pods are taken away when their patience
(`tolerationSeconds`, or five minutes) is over, and long before that they are not ready, so that no service
leads to them. What a lost node may still run keeps its name and address until the node is back or deleted:
nothing runs twice under one.

When no node is ready it is the control plane that is lost, not the nodes: nobody is taken away then.
Source: Kubernetes documentation, "Taints and Tolerations", "Nodes".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tsujiban.controller.reconcile.actions import Action, Delete, Update
from tsujiban.controller.reconcile.ending import marked
from tsujiban.controller.world import (
    NODES,
    Json,
    Ref,
    World,
    is_finished,
    is_ready,
    is_terminating,
    mappings,
    stamp,
    unstamped,
)

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "NoExecute"
PREFER_NO_SCHEDULE = "PreferNoSchedule"
PATIENCE = 300.0  # seconds that a pod bears NOT_READY and UNREACHABLE when it says nothing of them
_FOR_EVER = 2**53
UNHEARD_SECONDS = 35.0  # of UNREACHABLE, after which nobody believes that its pods serve
_OWN = (UNSCHEDULABLE, NOT_READY, UNREACHABLE)


def plan(world: World, ref: Ref, now: float) -> list[Action]:
    """Give one node the taints that follow from what is known of it."""
    node = world.get(ref)
    if node is None:
        return []
    held = mappings((node.get("spec") or {}).get("taints"))
    since = {(taint.get("key"), taint.get("effect")): taint.get("timeAdded") for taint in held}
    wanted = [dict(taint) for taint in held if taint.get("key") not in _OWN]
    for key, effect in _following(node):
        wanted.append({"key": key, "effect": effect})
    for taint in wanted:
        if taint.get("effect") == NO_EXECUTE:  # when it began counts
            taint["timeAdded"] = since.get((taint.get("key"), NO_EXECUTE)) or stamp(now)
    if wanted == held:
        return []
    spec = {key: value for key, value in (node.get("spec") or {}).items() if key != "taints"}
    return [Update(ref, {**node, "spec": {**spec, "taints": wanted} if wanted else spec})]


def _following(node: Json) -> Iterator[tuple[str, str]]:
    if (node.get("spec") or {}).get("unschedulable"):
        yield UNSCHEDULABLE, NO_SCHEDULE
    said = {c["type"]: c["status"] for c in (node.get("status") or {}).get("conditions", ())}.get("Ready")
    if said in ("False", "Unknown"):
        for effect in (NO_SCHEDULE, NO_EXECUTE):
            yield NOT_READY if said == "False" else UNREACHABLE, effect


def admits(node: Json, pod: Json, effects: tuple[str, ...] = (NO_SCHEDULE, NO_EXECUTE)) -> bool:
    """Whether the pod may be put on the node, as far as taints of these effects go."""
    spec = node.get("spec") or {}
    held = [t for t in mappings(spec.get("taints")) if t.get("effect") in effects]
    if spec.get("unschedulable") and NO_SCHEDULE in effects:  # also before the taint that says so is written
        held.append({"key": UNSCHEDULABLE, "effect": NO_SCHEDULE})
    if not held:
        return True
    borne = mappings(pod["spec"].get("tolerations"))
    return all(any(tolerates(toleration, taint) for toleration in borne) for taint in held)


def unwelcome(node: Json, pod: Json) -> int:
    """How many taints of the node would rather have the pod elsewhere."""
    borne = mappings(pod["spec"].get("tolerations"))
    held = [
        t for t in mappings((node.get("spec") or {}).get("taints")) if t.get("effect") == PREFER_NO_SCHEDULE
    ]
    return sum(not any(tolerates(toleration, taint) for toleration in borne) for taint in held)


def tolerates(toleration: Json, taint: Json) -> bool:
    """Whether one toleration is about this taint."""
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    key, exists = toleration.get("key") or "", toleration.get("operator") == "Exists"
    if not key:
        return exists  # of everything
    return bool(
        key == taint.get("key") and (exists or (toleration.get("value") or "") == (taint.get("value") or ""))
    )


def tainted(world: World) -> list[Ref]:
    """Nodes that somebody may have to leave."""
    return [ref for ref, node in world.all(NODES) if _executing(node)]


def leaving(world: World, ref: Ref, now: float) -> list[Action]:
    """What becomes now of the pods of one node that has NoExecute taints."""
    node = world.get(ref)
    taints = _executing(node) if node is not None else []
    if not taints:
        return []
    forsaken = not any(is_ready(other) for _, other in world.all(NODES))
    actions: list[Action] = []
    for pod_ref, pod in world.pods_on(ref.name):
        if is_finished(pod) or is_terminating(pod):
            continue
        counting = (taint for taint in taints if not (forsaken and taint["key"] in _OWN))
        due = min((_until(pod, taint, now) for taint in counting), default=float("inf"))
        if due <= now:
            actions.append(_evicted(pod_ref, pod, now))
        elif not forsaken and is_ready(pod) and _unheard(taints, now):
            actions.append(Update(pod_ref, _not_ready(pod, now)))
    return actions


def _until(pod: Json, taint: Json, now: float) -> float:
    """When the pod must go because of a taint."""
    about = [t for t in mappings(pod["spec"].get("tolerations")) if tolerates(t, taint)]
    seconds = [_seconds(t["tolerationSeconds"]) for t in about if t.get("tolerationSeconds") is not None]
    if about and not seconds:
        return float("inf")
    patience = min(seconds, default=PATIENCE if taint["key"] in _OWN else 0.0)
    return _added(taint, now) + patience


def _evicted(ref: Ref, pod: Json, now: float) -> Action:
    if not (pod.get("status") or {}).get("podIP"):
        return Delete(ref)  # it has not begun
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "its node is tainted, and it tolerates that no longer",
        "lastTransitionTime": stamp(now),
    }
    others = [c for c in pod["status"].get("conditions", ()) if c["type"] != condition["type"]]
    return Update(ref, {**marked(pod, now), "status": {**pod["status"], "conditions": [*others, condition]}})


def _not_ready(pod: Json, now: float) -> Json:
    said = {"status": "False", "reason": "NodeNotReady", "lastTransitionTime": stamp(now)}
    conditions = [{**c, **said} if c["type"] == "Ready" else c for c in pod["status"]["conditions"]]
    return {**pod, "status": {**pod["status"], "conditions": conditions}}


def _unheard(taints: list[Json], now: float) -> bool:
    return any(t["key"] == UNREACHABLE and _added(t, now) + UNHEARD_SECONDS <= now for t in taints)


def _executing(node: Json) -> list[Json]:
    """The taints that somebody may have to leave for; `timeAdded` was written by `plan`."""
    taints = mappings((node.get("spec") or {}).get("taints"))
    return [
        taint for taint in taints if taint.get("effect") == NO_EXECUTE and isinstance(taint.get("key"), str)
    ]


def _added(taint: Json, now: float) -> float:
    added = unstamped(taint.get("timeAdded"))
    return now if added is None else added  # None: it is being written


def _seconds(said: Any) -> float:
    return float(min(said, _FOR_EVER)) if isinstance(said, int | float) else 0.0
