"""ReplicaSet to Pods: as many as asked for, no more; dead ones are replaced."""

from __future__ import annotations

from collections.abc import Callable

from tsujiban.controller.reconcile.actions import Create, Delete, Planned, Update
from tsujiban.controller.reconcile.availability import available_at, next_one
from tsujiban.controller.reconcile.claims import claim
from tsujiban.controller.reconcile.ending import ended
from tsujiban.controller.reconcile.podtemplates import may_make, named, pod_of, random_suffix
from tsujiban.controller.world import (
    Json,
    Ref,
    World,
    is_finished,
    is_ready,
    is_terminating,
)


def plan(world: World, ref: Ref, now: float, suffix: Callable[[], str] = random_suffix) -> Planned:
    """What to write for one ReplicaSet. `suffix` makes the random part of a pod's name."""
    replica_set = world.get(ref)
    if replica_set is None or is_terminating(replica_set):
        return Planned([])
    claimed = claim(world, replica_set)
    pods = [pod for pod in claimed.pods if not is_terminating(pod[1])]  # what goes is not counted any more
    alive = [pod for pod in pods if not is_finished(pod[1])]
    wanted = replica_set["spec"].get("replicas", 1)
    actions = [*claimed.actions, *(Delete(pod_ref) for pod_ref, pod in pods if is_finished(pod))]
    for _ in range(may_make(wanted - len(alive), (pod for _, pod in alive))):
        template = replica_set["spec"]["template"]
        actions.append(Create(*pod_of(replica_set, template, named(ref.name, suffix()))))
    patience = replica_set["spec"].get("minReadySeconds") or 0
    since = [available_at(pod, patience) for _, pod in alive]
    by_worth = sorted(alive, key=lambda pod: _worth(pod, patience, now))
    for pod_ref, pod in by_worth[: max(0, len(alive) - wanted)]:
        actions += ended(pod_ref, pod, now)
    status = {
        "replicas": len(alive),
        "readyReplicas": sum(is_ready(pod) for _, pod in alive),
        "availableReplicas": sum(moment <= now for moment in since),
        "observedGeneration": replica_set["metadata"].get("generation", 1),
    }
    if status != replica_set.get("status"):
        actions.append(Update(ref, {**replica_set, "status": status}))
    return Planned(actions, next_one(since, now))


def _worth(pod: tuple[Ref, Json], patience: int, now: float) -> tuple[bool, bool, bool, str]:
    """Sorts what may go first: not scheduled, not ready, not available; equals by name."""
    ref, obj = pod
    return bool(obj["spec"].get("nodeName")), is_ready(obj), available_at(obj, patience) <= now, ref.name
