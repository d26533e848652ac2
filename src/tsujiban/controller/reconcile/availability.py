"""When a pod counts as available: it has been ready for `minReadySeconds`. Pure.

Source: Kubernetes documentation, "Deployments", "Min Ready Seconds".
"""

from __future__ import annotations

import math

from tsujiban.controller.world import Json, is_terminating, unstamped


def available_at(pod: Json, min_ready: int) -> float:
    """From when on the pod is available, UNIX seconds; infinity while it is not ready."""
    if is_terminating(pod):
        return math.inf
    for condition in (pod.get("status") or {}).get("conditions", ()):
        if condition["type"] == "Ready" and condition["status"] == "True":
            since = unstamped(condition.get("lastTransitionTime"))
            return 0.0 if not min_ready or since is None else since + min_ready
    return math.inf


def next_one(moments: list[float], now: float) -> float:
    """The first of the moments that is still to come; infinity when there is none."""
    return min((moment for moment in moments if moment > now), default=math.inf)
