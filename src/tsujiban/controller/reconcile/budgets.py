"""PodDisruptionBudget to its status: how many pods there are, should be, and may be taken away now.

Evictions (`api/budgets.py`) take from `disruptionsAllowed` and note the pod in `disruptedPods`, so that two
who drain at once cannot both have the last one; here it is counted anew when pods come and go. A pod that
was promised away and is still there after two minutes is counted again. When it cannot be said how many pods
there should be, nothing may be taken away.
Source: Kubernetes documentation, "Specifying a Disruption Budget for your Application", "Disruptions".
"""

from __future__ import annotations

from typing import NamedTuple

from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.reconcile.deployments import share
from tsujiban.controller.world import (
    BUDGETS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    Json,
    Ref,
    World,
    controller_of,
    is_ready,
    is_terminating,
    selects,
    stamp,
    unstamped,
)

PROMISE_SECONDS = 120.0  # until a pod that was promised away and did not go is counted again
ALLOWED = "DisruptionAllowed"  # the condition
_KINDS = {
    "Deployment": DEPLOYMENTS,
    "ReplicaSet": REPLICA_SETS,
    "ReplicationController": REPLICATION_CONTROLLERS,
    "StatefulSet": STATEFUL_SETS,
}
CONTROLLERS = frozenset(_KINDS.values())
"""Whose replicas count."""


class _Unknown(Exception):
    """It cannot be said how many pods there should be; the text says why."""


class _Wanted(NamedTuple):
    expected: int
    healthy: int


def covers(budget: Json, pod: Json) -> bool:
    """Whether the budget selects a pod of its namespace."""
    return selects((budget.get("spec") or {}).get("selector"), pod["metadata"].get("labels") or {})


def plan(world: World, ref: Ref, now: float) -> list[Action]:
    """Count for one budget."""
    budget = world.get(ref)
    if budget is None or is_terminating(budget):
        return []
    before = budget.get("status") or {}
    pods = {r.name: pod for r, pod in world.all(PODS, ref.namespace) if covers(budget, pod)}
    promised = {
        name: at
        for name, at in (before.get("disruptedPods") or {}).items()
        if name in pods and not is_terminating(pods[name]) and now < (unstamped(at) or 0.0) + PROMISE_SECONDS
    }
    healthy = sum(
        is_ready(pod) and not is_terminating(pod) and name not in promised for name, pod in pods.items()
    )
    try:
        wanted, problem = _wanted(world, budget.get("spec") or {}, pods), ""
    except _Unknown as unknown:
        wanted = _Wanted(before.get("expectedPods", 0), before.get("desiredHealthy", 0))
        problem = str(unknown)
    allowed = 0 if problem or not wanted.expected else max(0, healthy - wanted.healthy)
    generation = budget["metadata"].get("generation", 1)
    status = {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": wanted.healthy,
        "expectedPods": wanted.expected,
        **({"disruptedPods": promised} if promised else {}),
        "conditions": conditions(before, allowed, generation, now, problem),
    }
    return [] if status == budget.get("status") else [Update(ref, {**budget, "status": status})]


def promising(world: World) -> list[Ref]:
    """Budgets in which something was promised: time alone may change them."""
    return [ref for ref, obj in world.all(BUDGETS) if (obj.get("status") or {}).get("disruptedPods")]


def conditions(before: Json, allowed: int, generation: int, now: float, problem: str = "") -> list[Json]:
    """The conditions of a status, with the one that says whether a disruption is allowed."""
    reason = "SyncFailed" if problem else "SufficientPods" if allowed else "InsufficientPods"
    condition = {
        "type": ALLOWED,
        "status": "True" if allowed else "False",
        "reason": reason,
        "message": problem,
        "observedGeneration": generation,
        "lastTransitionTime": stamp(now),
    }
    others = []
    for found in before.get("conditions") or ():
        if found.get("type") != ALLOWED:
            others.append(found)
        elif found.get("status") == condition["status"]:
            condition["lastTransitionTime"] = found.get("lastTransitionTime") or stamp(now)
    return [*others, condition]


def _wanted(world: World, spec: Json, pods: dict[str, Json]) -> _Wanted:
    most, least = spec.get("maxUnavailable"), spec.get("minAvailable")
    if most is not None:
        expected = _scale(world, pods)
        return _Wanted(expected, max(0, expected - share(most, expected, up=True)))
    if isinstance(least, str):
        expected = _scale(world, pods)
        return _Wanted(expected, share(least, expected, up=True))
    return _Wanted(len(pods), least) if least is not None else _Wanted(0, 0)


def _scale(world: World, pods: dict[str, Json]) -> int:
    """How many pods their controllers want; pods without one do not count. Raises _Unknown."""
    replicas: dict[str, int] = {}
    for name, pod in pods.items():
        found = _controller(world, name, pod)
        if found is not None:
            replicas[found["metadata"]["uid"]] = (found.get("spec") or {}).get("replicas", 1)
    return sum(replicas.values())


def _controller(world: World, name: str, pod: Json) -> Json | None:
    """What says how many of these pods there should be: of a Deployment's pods, the Deployment."""
    owner = controller_of(pod)
    if owner is None:
        return None
    found = _owner(world, name, pod, owner)
    above = controller_of(found) if owner["kind"] == "ReplicaSet" else None
    return _owner(world, name, found, above) if above and above.get("kind") == "Deployment" else found


def _owner(world: World, name: str, owned: Json, owner: Json) -> Json:
    kind = _KINDS.get(owner.get("kind", ""))
    if kind is None:
        raise _Unknown(
            f"pod {name}: its controller {owner.get('kind')} {owner['name']} wants no number of pods"
        )
    found = world.find(kind, owned["metadata"].get("namespace", ""), owner["name"])
    if found is None or found["metadata"].get("uid") != owner["uid"]:
        raise _Unknown(f"pod {name}: its controller {owner['kind']} {owner['name']} is not there")
    return found
