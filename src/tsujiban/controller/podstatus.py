"""What a node says of a pod, made the status that is stored. Pure.

A node's word is about what runs there, and no more: a pod's addresses are the controller's to give,
conditions of types that are not a node's belong to whoever writes them, and a pod that names some of these
as its readiness gates is not ready without them.
Source: Kubernetes "Pod Lifecycle", "Pod readiness".
"""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.controller.world import Json, mappings, stamp, texts
from tsujiban.resources.kinds import core

GATES_CLOSED = "ReadinessGatesNotReady"  # kubelet's reason

_ADDRESSES = ("podIP", "podIPs")
OF_NODES = frozenset(
    {"PodScheduled", "Initialized", "ContainersReady", "Ready"}
    | {"tsujiban.io/ProxyReady", "tsujiban.io/LimitsEnforced"}
)
"""Conditions that a node says, or has said when it says them no more; every other type is somebody else's."""


class _ReportedStatus(core.PodStatus, frozen=True, kw_only=True):
    """A status in every part of which planners, and those who look, find what they expect."""

    phase: str
    conditions: tuple[core.Condition, ...] = ()


def read(status: bytes) -> Json | None:
    """The status that a node reports, if it has the form of one: planners rely on that."""
    try:
        msgspec.json.decode(status, type=_ReportedStatus)
    except msgspec.MsgspecError:
        return None
    found: Json = msgspec.json.decode(status)
    return found


def merged(said: Json, pod: Json, now: float) -> Json:
    """The status of `pod` when its node has said `said`, at `now` (UNIX seconds)."""
    before = pod.get("status") or {}
    told = [one for one in said.get("conditions", ()) if one["type"] in OF_NODES]
    others = of_others(before)
    conditions = [_dated(one, before, now) for one in _gated(told, told + others, pod)]
    addresses = {key: before[key] for key in _ADDRESSES if key in before}
    kept = {key: value for key, value in said.items() if key not in _ADDRESSES}
    return {**kept, "conditions": conditions + others, **addresses}


def of_others(status: Json) -> list[Json]:
    """The conditions of a pod's status that are not its node's to say."""
    return [one for one in mappings(status.get("conditions")) if one.get("type") not in OF_NODES]


def regated(pod: Json, now: float) -> Json | None:
    """The status of a pod whose readiness gates have opened or closed since its node spoke; None when it
    says what is so."""
    before: Json = pod.get("status") or {}
    conditions: list[Json] = list(before.get("conditions", ()))
    ready = next((one for one in conditions if one["type"] == "Ready"), None)
    if ready is None:
        return None
    (wanted,) = _gated([_opened(ready, conditions)], conditions, pod)
    if (wanted["status"], wanted.get("message")) == (ready["status"], ready.get("message")):
        return None
    new = _dated(wanted, before, now)
    return {**before, "conditions": [new if one is ready else one for one in conditions]}


def _opened(ready: Json, among: list[Json]) -> Json:
    """A pod's readiness as it would be if no gate were closed."""
    if ready.get("reason") != GATES_CLOSED:
        return ready
    contained = next((one["status"] for one in among if one["type"] == "ContainersReady"), "False")
    return {"type": "Ready", "status": contained}


def _gated(conditions: list[Json], among: list[Json], pod: Json) -> list[Json]:
    """Some of a pod's conditions: not ready, while a gate is closed."""
    closed = ", ".join(_closed(pod, {one["type"]: one["status"] for one in among}))
    if not closed:
        return conditions
    barred = {"type": "Ready", "status": "False", "reason": GATES_CLOSED, "message": closed}
    return [
        {**one, **barred} if one["type"] == "Ready" and one["status"] == "True" else one for one in conditions
    ]


def _closed(pod: Json, said: dict[str, Any]) -> list[str]:
    """Which of a pod's gates are closed, in kubelet's words."""
    gates = texts([gate.get("conditionType") for gate in mappings(pod["spec"].get("readinessGates"))])
    return [
        f'the status of pod readiness gate "{gate}" is not "True", but {said[gate]}'
        if gate in said
        else f'corresponding condition of pod readiness gate "{gate}" does not exist.'
        for gate in gates
        if said.get(gate) != "True"
    ]


def _dated(condition: Json, before: Json, now: float) -> Json:
    """A condition that says since when it holds."""
    known: Json = next((one for one in before.get("conditions", ()) if one["type"] == condition["type"]), {})
    same = known.get("status") == condition["status"] and known.get("lastTransitionTime")
    return {**condition, "lastTransitionTime": same or stamp(now)}
