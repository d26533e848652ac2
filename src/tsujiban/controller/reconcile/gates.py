"""Readiness gates: a pod is ready when its node says so and the conditions that it names are true, whoever
writes these. Pure; the rule is in `controller.podstatus`."""

from __future__ import annotations

from tsujiban.controller import podstatus
from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.world import Json, Ref, World


def has(pod: Json) -> bool:
    """Whether the pod has any."""
    return bool((pod.get("spec") or {}).get("readinessGates"))


def plan(world: World, ref: Ref, now: float) -> list[Action]:
    """Say at `now` (UNIX seconds) what the gates of a pod make of its readiness."""
    pod = world.get(ref)
    status = None if pod is None else podstatus.regated(pod, now)
    return [] if pod is None or status is None else [Update(ref, {**pod, "status": status})]
