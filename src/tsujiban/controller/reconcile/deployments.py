"""Deployment to ReplicaSets: one per template, rolled over without losing capacity.

RollingUpdate and Recreate as the Deployment reference describes them (apps/v1, strategy). What is capacity
are the pods that are available: ready for the `minReadySeconds` of their ReplicaSet, of which the current one
has its Deployment's.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, NamedTuple

from tsujiban.controller.reconcile.actions import Action, Create, Delete, Planned, Update
from tsujiban.controller.reconcile.availability import available_at, next_one
from tsujiban.controller.reconcile.claims import adopted
from tsujiban.controller.world import (
    REPLICA_SETS,
    Json,
    Ref,
    World,
    controller_of,
    is_ready,
    is_terminating,
    mapping,
    owner_reference,
    whole,
    with_metadata,
)

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
_NOT_COPIED = (REVISION, "kubectl.kubernetes.io/last-applied-configuration")


class _Pods(NamedTuple):
    """The pods of a ReplicaSet that stay."""

    total: int
    ready: int
    since: list[float]  # from when on each is available, UNIX seconds; infinity: not
    available: int  # now


def plan(world: World, ref: Ref, now: float) -> Planned:
    """What to write for one Deployment."""
    deployment = world.get(ref)
    if deployment is None or is_terminating(deployment):
        return Planned([])
    owned = world.owned_by(deployment["metadata"]["uid"], REPLICA_SETS)
    digest = template_hash(deployment["spec"]["template"])
    current = next((rs for rs in owned if _digest(rs[1]) == digest), None)
    old = [rs for rs in owned if current is None or rs[0] != current[0]]
    pods = {rs_ref: _pods(world, rs, now) for rs_ref, rs in owned}
    again = next_one([since for found in pods.values() for since in found.since], now)
    actions: list[Action] = []
    wanted = deployment["spec"].get("replicas", 1)
    newest = max((_revision(rs) for rs in old), default=0) + 1
    if deployment["spec"].get("paused"):
        newest = _revision(current) if current is not None else 0
    elif current is None:
        first = wanted if not any(_size(rs) for _, rs in old) else _room(deployment, wanted, old)
        actions += _made(world, *_replica_set(deployment, ref, digest, first, newest), deployment)
    else:
        newest = max(newest, _revision(current))  # more than it was when a template of before is wanted again
        told = _annotated(_as_patient(current[1], deployment), _history(deployment, newest))
        if told != current[1]:
            return Planned([Update(current[0], told)])  # which brings us here again
        actions += _roll(world, deployment, wanted, current, old, pods)
        actions += _forget(deployment, old)
    status = _status(deployment, pods, current)
    numbered = _annotated(deployment, {REVISION: str(newest)}) if newest else deployment
    if status != deployment.get("status") or numbered != deployment:
        actions.append(Update(ref, {**numbered, "status": status}))
    return Planned(actions, again)


def _made(world: World, ref: Ref, obj: Json, deployment: Json) -> list[Action]:
    """The ReplicaSet of a template: a new one, or one that a Deployment of the same name has left behind."""
    left = world.get(ref)
    if left is None:
        return [Create(ref, obj)]
    free = controller_of(left) is None and not is_terminating(left)
    return [Update(ref, adopted(left, deployment))] if free else []


def _as_patient(replica_set: Json, deployment: Json) -> Json:
    """The ReplicaSet with the `minReadySeconds` of its Deployment."""
    spec, wanted = replica_set["spec"], deployment["spec"].get("minReadySeconds") or 0
    if (spec.get("minReadySeconds") or 0) == wanted:
        return replica_set
    return {**replica_set, "spec": {**spec, "minReadySeconds": wanted}}


def _annotated(obj: Json, annotations: dict[str, str]) -> Json:
    return with_metadata(obj, annotations={**obj["metadata"].get("annotations", {}), **annotations})


def _history(deployment: Json, revision: int) -> dict[str, str]:
    """The annotations that a ReplicaSet has from its Deployment, for `kubectl rollout history` and `undo`."""
    own = deployment["metadata"].get("annotations", {})
    return {name: text for name, text in own.items() if name not in _NOT_COPIED} | {REVISION: str(revision)}


def template_hash(template: Json) -> str:
    """A short stable name for a pod template. What is empty is not told from what is absent: `kubectl rollout
    undo` writes a template back with `resources: {}`."""
    return hashlib.sha256(json.dumps(_filled(template), sort_keys=True).encode()).hexdigest()[:10]


def _filled(value: Any) -> Any:
    """Without empty maps and lists in maps."""
    if isinstance(value, dict):
        parts = {name: _filled(part) for name, part in value.items()}
        return {name: part for name, part in parts.items() if part not in ({}, [], None)}
    return [_filled(part) for part in value] if isinstance(value, list) else value


def _digest(replica_set: Json) -> str:
    """The template that it was made from; "" when somebody has removed the label."""
    return str(replica_set["metadata"].get("labels", {}).get(HASH_LABEL, ""))


def _revision(replica_set: tuple[Ref, Json]) -> int:
    """Its place in the history; 0 when somebody has removed the annotation."""
    text = str(replica_set[1]["metadata"].get("annotations", {}).get(REVISION, ""))
    return whole(text) or 0


def _size(replica_set: Json) -> int:
    return int(replica_set["spec"].get("replicas", 0))


def _replica_set(deployment: Json, ref: Ref, digest: str, replicas: int, revision: int) -> tuple[Ref, Json]:
    spec = deployment["spec"]
    name = f"{ref.name[:240]}-{digest}"
    labels = {**spec["template"]["metadata"].get("labels", {}), HASH_LABEL: digest}
    selector = spec["selector"]
    obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": ref.namespace,
            "labels": labels,
            "annotations": _history(deployment, revision),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": replicas,
            "selector": {
                **selector,
                "matchLabels": {**selector.get("matchLabels", {}), HASH_LABEL: digest},
            },
            "template": {
                **spec["template"],
                "metadata": {**spec["template"]["metadata"], "labels": labels},
            },
        },
    }
    return Ref(*REPLICA_SETS, ref.namespace, name), _as_patient(obj, deployment)


def _bounds(deployment: Json, wanted: int) -> tuple[int, int]:
    """(most pods at a time, least ready pods at a time)."""
    if _recreates(deployment):
        return wanted, 0
    rolling = mapping(mapping(deployment["spec"].get("strategy")).get("rollingUpdate"))
    surge = share(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return wanted + surge, wanted - unavailable


def _recreates(deployment: Json) -> bool:
    return mapping(deployment["spec"].get("strategy")).get("type") == "Recreate"


def share(value: Any, wanted: int, *, up: bool) -> int:
    """A number, or that percentage of `wanted`, rounded up or down."""
    if isinstance(value, int):
        return max(0, value)
    percent = str(value).removesuffix("%")
    share = wanted * (int(percent) if percent.isascii() and percent.isdecimal() else 25) / 100
    return math.ceil(share) if up else math.floor(share)


def _room(deployment: Json, wanted: int, old: list[tuple[Ref, Json]]) -> int:
    most, _ = _bounds(deployment, wanted)
    if _recreates(deployment):
        return 0
    return max(0, min(wanted, most - sum(_size(rs) for _, rs in old)))


def _roll(
    world: World,
    deployment: Json,
    wanted: int,
    current: tuple[Ref, Json],
    old: list[tuple[Ref, Json]],
    pods: dict[Ref, _Pods],
) -> list[Action]:
    """Scale the current ReplicaSet up and the old ones down, one safe step."""
    most, least = _bounds(deployment, wanted)
    recreate = _recreates(deployment)
    actions: list[Action] = []
    size = _size(current[1])
    old_size = sum(_size(rs) for _, rs in old)
    old_pods = sum(len(world.owned_by(rs["metadata"]["uid"])) for _, rs in old)
    if recreate and (old_size or old_pods):
        target = size if size <= wanted else wanted
    else:
        target = max(min(wanted, most - old_size), min(size, wanted))
    if target != size:
        actions.append(_scale(current, target))
    spare = sum(found.available for found in pods.values()) - least
    # old pods that are ready, and were not for long enough, may go where new ones need not stand in for them
    room = sum(pods[ref].ready for ref, _ in old) + pods[current[0]].available - least
    for ref, rs in old:
        count = _size(rs)
        unready = count - min(count, pods[ref].ready)
        young = min(count - unready, pods[ref].ready - pods[ref].available, max(0, room))
        drop = count if recreate else min(count, unready + young + max(0, spare))
        room -= young
        spare -= max(0, drop - unready - young)
        if drop:
            actions.append(_scale((ref, rs), count - drop))
    return actions


def _pods(world: World, replica_set: Json, now: float) -> _Pods:
    owned = world.owned_by(replica_set["metadata"]["uid"])
    staying = [pod for _, pod in owned if not is_terminating(pod)]
    patience = replica_set["spec"].get("minReadySeconds") or 0
    since = [available_at(pod, patience) for pod in staying]
    return _Pods(len(staying), sum(map(is_ready, staying)), since, sum(moment <= now for moment in since))


def _scale(replica_set: tuple[Ref, Json], replicas: int) -> Update:
    ref, obj = replica_set
    return Update(ref, {**obj, "spec": {**obj["spec"], "replicas": replicas}})


def _forget(deployment: Json, old: list[tuple[Ref, Json]]) -> list[Action]:
    """Delete the oldest empty ReplicaSets beyond revisionHistoryLimit."""
    limit = deployment["spec"].get("revisionHistoryLimit", 10)
    empty = sorted(
        (rs for rs in old if not _size(rs[1]) and not rs[1].get("status", {}).get("replicas")),
        key=_revision,
    )
    return [Delete(ref) for ref, _ in empty[: max(0, len(empty) - limit)]]


def _status(deployment: Json, pods: dict[Ref, _Pods], current: tuple[Ref, Json] | None) -> Json:
    wanted = deployment["spec"].get("replicas", 1)
    total = sum(found.total for found in pods.values())
    ready = sum(found.ready for found in pods.values())
    available = sum(found.available for found in pods.values())
    updated = pods[current[0]].total if current else 0
    enough = available >= _bounds(deployment, wanted)[1]
    complete = updated == wanted == total == available
    return {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
        "conditions": [
            _condition("Available", enough, "MinimumReplicasAvailable", "MinimumReplicasUnavailable"),
            _condition(
                "Progressing", True, "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated", ""
            ),
        ],
    }


def _condition(kind: str, true: bool, reason: str, otherwise: str) -> Json:
    return {"type": kind, "status": "True" if true else "False", "reason": reason if true else otherwise}
