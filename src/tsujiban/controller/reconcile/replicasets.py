"""ReplicaSet to Pods: as many as asked for, no more; dead ones are replaced."""

from __future__ import annotations

from collections.abc import Callable

from tsujiban.controller.reconcile.actions import Action, Create, Delete, Update
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


def plan(world: World, ref: Ref, suffix: Callable[[], str] = random_suffix) -> list[Action]:
    """What to write for one ReplicaSet. `suffix` makes the random part of a pod's name."""
    replica_set = world.get(ref)
    if replica_set is None or is_terminating(replica_set):
        return []
    claimed = claim(world, replica_set)
    pods = [pod for pod in claimed.pods if not is_terminating(pod[1])]  # what goes is not counted any more
    alive = [pod for pod in pods if not is_finished(pod[1])]
    wanted = replica_set["spec"].get("replicas", 1)
    actions = [*claimed.actions, *(Delete(pod_ref) for pod_ref, pod in pods if is_finished(pod))]
    for _ in range(may_make(wanted - len(alive), (pod for _, pod in alive))):
        template = replica_set["spec"]["template"]
        actions.append(Create(*pod_of(replica_set, template, named(ref.name, suffix()))))
    for pod_ref, pod in sorted(alive, key=_worth)[: max(0, len(alive) - wanted)]:
        actions += ended(pod_ref, pod)
    status = {
        "replicas": len(alive),
        "readyReplicas": sum(is_ready(pod) for _, pod in alive),
        "availableReplicas": sum(is_ready(pod) for _, pod in alive),
        "observedGeneration": replica_set["metadata"].get("generation", 1),
    }
    if status != replica_set.get("status"):
        actions.append(Update(ref, {**replica_set, "status": status}))
    return actions


def _worth(pod: tuple[Ref, Json]) -> tuple[bool, bool, str]:
    """Sorts what may go first: not scheduled, not ready, youngest last of equals by name."""
    ref, obj = pod
    return bool(obj["spec"].get("nodeName")), is_ready(obj), ref.name
