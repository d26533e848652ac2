"""What a PodDisruptionBudget says to an eviction: yes, and one less is left; or not now.

The controller (`reconcile/budgets.py`) counts, and says in the status how many disruptions are allowed; an
eviction takes one there, under the status' own version, before it deletes: two who drain at once, through two
controllers even, cannot both take the last. A pod that is promised and then not deleted is counted again
after two minutes.
Source: Kubernetes documentation, "API-initiated Eviction", "Unhealthy Pod Eviction Policy".
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from tsujiban.controller.api import documents
from tsujiban.controller.api.errors import ApiError, forbidden
from tsujiban.controller.reconcile.budgets import conditions, covers
from tsujiban.controller.world import BUDGETS, is_finished, is_ready, is_terminating, stamp
from tsujiban.resources.kinds.disruption import PodDisruptionBudgetStatus
from tsujiban.store.protocol import Conflict, Store, Stored

Json = dict[str, Any]

ATTEMPTS = 20
MAX_PROMISED = 2000  # pods that were promised away and are still there
RETRY_SECONDS = 10


def is_free(pod: Json) -> bool:
    """Whether taking the pod away disrupts nothing: it has not begun, is over, or goes anyway."""
    phase = (pod.get("status") or {}).get("phase", "Pending")
    return phase == "Pending" or is_finished(pod) or is_terminating(pod)


async def ask(store: Store, pod: Json, *, dry_run: bool) -> bool:
    """Whether the pod may be taken away only as it is now: it is not ready, and so nothing was taken for it.

    Raises:
        ApiError: 429, not now; 403, too many promises are open; 500, several budgets select the pod.
    """
    for _ in range(ATTEMPTS):
        found = await _of(store, pod)
        if found is None:
            return False
        stored, budget = found
        status = msgspec.convert(budget.get("status") or {}, PodDisruptionBudgetStatus)
        if not is_ready(pod) and _lets_go_of_unready(budget, status):
            return True
        _check(budget, status)
        if dry_run:
            return False
        try:
            value = msgspec.json.encode(_promised(budget, status, pod["metadata"]["name"]))
            await store.update(stored.key, value, stored.revision)
        except Conflict:
            continue
        return False
    raise _not_now("others evict at the same time", RETRY_SECONDS)


async def _of(store: Store, pod: Json) -> tuple[Stored, Json] | None:
    namespace = pod["metadata"]["namespace"]
    listed = (await store.list(*BUDGETS, namespace)).items
    budgets = [(stored, documents.json_of(stored)) for stored in listed]
    found = [(stored, budget) for stored, budget in budgets if covers(budget, pod)]
    if len(found) > 1:
        text = (
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
        raise ApiError(500, "InternalError", text)
    return found[0] if found else None


def _lets_go_of_unready(budget: Json, status: PodDisruptionBudgetStatus) -> bool:
    if documents.dig(budget, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    return 0 < status.desired_healthy <= status.current_healthy


def _check(budget: Json, status: PodDisruptionBudgetStatus) -> None:
    name = budget["metadata"]["name"]
    if status.observed_generation < budget["metadata"].get("generation", 1):
        raise _not_now(f"The disruption budget {name} is still being processed by the server.", RETRY_SECONDS)
    if len(status.disrupted_pods) > MAX_PROMISED:
        raise forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if status.disruptions_allowed <= 0:
        raise _not_now(
            f"The disruption budget {name} needs {status.desired_healthy} healthy pods "
            f"and has {status.current_healthy} currently"
        )


def _promised(budget: Json, status: PodDisruptionBudgetStatus, pod: str) -> Json:
    now, left = time.time(), status.disruptions_allowed - 1
    changed = {
        **budget["status"],
        "disruptionsAllowed": left,
        "disruptedPods": {**status.disrupted_pods, pod: stamp(now)},
        "conditions": conditions(budget["status"], left, status.observed_generation, now),
    }
    return {**budget, "status": changed}


def _not_now(cause: str, seconds: int = 0) -> ApiError:
    """429. With seconds, clients try again by themselves; without, it is theirs to decide, as for `drain`."""
    details: Json = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    if seconds:
        details["retryAfterSeconds"] = seconds
    text = "Cannot evict pod as it would violate the pod's disruption budget."
    return ApiError(429, "TooManyRequests", text, details)
