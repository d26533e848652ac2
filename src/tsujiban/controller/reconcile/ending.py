"""How a controller takes a pod away: its node is given the time to end it, as when a person deletes it."""

from __future__ import annotations

import time

from tsujiban.controller.reconcile.actions import Action, Delete, Update
from tsujiban.controller.world import PODS, Json, Ref, is_finished, is_terminating, stamp, with_metadata

GRACE_SECONDS = 30  # Kubernetes' default
LONGEST_GRACE = 2**31 - 1  # more is no time that could be written down


def ended(ref: Ref, obj: Json, now: float | None = None) -> list[Action]:
    """The deletion of an object; of a pod that runs, its mark, unless it has that. Its node stops it, takes
    it off the network and says so; then it is deleted."""
    if ref[:2] != PODS or not _runs(obj) or not grace_seconds(obj):
        return [Delete(ref)]
    if is_terminating(obj):
        return []
    return [Update(ref, marked(obj, time.time() if now is None else now))]


def marked(pod: Json, now: float) -> Json:
    """The pod as it waits for its end."""
    seconds = grace_seconds(pod)
    return with_metadata(pod, deletionTimestamp=stamp(now + seconds), deletionGracePeriodSeconds=seconds)


def grace_seconds(pod: Json) -> int:
    """How long a pod may take to end, by its own wish."""
    own = pod["spec"].get("terminationGracePeriodSeconds")
    return GRACE_SECONDS if own is None else min(LONGEST_GRACE, max(0, int(own)))


def _runs(pod: Json) -> bool:
    begun = bool(pod["spec"].get("nodeName") and (pod.get("status") or {}).get("podIP"))
    return begun and not is_finished(pod)
