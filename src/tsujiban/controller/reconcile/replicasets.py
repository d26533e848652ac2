"""ReplicaSet to Pods: as many as asked for, no more; dead ones are replaced.

Its pods come by no request, so what admission adds to a pod (its ServiceAccount) is added here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from tsujiban.controller.api import defaulting
from tsujiban.controller.reconcile.actions import Action, Create, Delete, Update
from tsujiban.controller.reconcile.ending import ended
from tsujiban.controller.world import (
    PODS,
    Json,
    Ref,
    World,
    is_finished,
    is_ready,
    is_terminating,
    owner_reference,
)
from tsujiban.resources.registry import by_plural

# No vowels (no words), and nothing that reads like another character.
_ALPHABET = "bcdfghjkmnpqrstvwxz2456789"

_POD = by_plural("", "v1", "pods")


def random_suffix() -> str:
    """Five characters for a pod's name."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(5))


def plan(world: World, ref: Ref, suffix: Callable[[], str] = random_suffix) -> list[Action]:
    """What to write for one ReplicaSet. `suffix` makes the random part of a pod's name."""
    replica_set = world.get(ref)
    if replica_set is None or is_terminating(replica_set):
        return []
    pods = world.owned_by(replica_set["metadata"]["uid"], PODS)
    pods = [pod for pod in pods if not is_terminating(pod[1])]  # what goes is not counted any more
    alive = [pod for pod in pods if not is_finished(pod[1])]
    wanted = replica_set["spec"].get("replicas", 1)
    actions: list[Action] = [Delete(pod_ref) for pod_ref, pod in pods if is_finished(pod)]
    for _ in range(wanted - len(alive)):
        actions.append(Create(*_pod(replica_set, ref, suffix())))
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


def _pod(replica_set: Json, ref: Ref, suffix: str) -> tuple[Ref, Json]:
    template = replica_set["spec"]["template"]
    name = f"{ref.name[:240]}-{suffix}"
    metadata = {
        **template.get("metadata", {}),
        "name": name,
        "namespace": ref.namespace,
        "ownerReferences": [owner_reference(replica_set)],
    }
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": dict(template["spec"])}
    return Ref(*PODS, ref.namespace, name), defaulting.filled(obj, _POD)
