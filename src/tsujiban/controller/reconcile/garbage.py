"""Garbage: an object whose owners are all gone goes too; so does what is left in a deleted namespace."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tsujiban.controller.reconcile.actions import Action, Delete, Update
from tsujiban.controller.reconcile.ending import ended
from tsujiban.controller.world import (
    NAMESPACES,
    NODES,
    Json,
    Ref,
    World,
    is_finished,
    is_terminating,
    stamp,
    with_metadata,
)
from tsujiban.resources.registry import UnknownKind, kind_for

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"  # the collector's own finalizers


def orphaned(world: World, owner_uid: str) -> list[Action]:
    """What goes when the object with this uid has gone (background propagation)."""
    return [
        action
        for ref, obj in world.owned_by(owner_uid)
        if not any(alive(world, ref, owner) for owner in obj["metadata"]["ownerReferences"])
        for action in ended(ref, obj)
    ]


def alive(world: World, ref: Ref, owner: Json) -> bool:
    """Whether the owner that `ref` names exists, and is the very one (uid) that is meant.

    Of an owner of a kind that is not known here nothing can be said, so it counts as alive."""
    try:
        kind = kind_for(owner["apiVersion"], owner["kind"])
    except UnknownKind:
        return True
    resource = (kind.group, kind.plural)
    found = world.find(resource, ref.namespace, owner["name"]) or world.find(resource, "", owner["name"])
    return found is not None and found["metadata"]["uid"] == owner["uid"]


def dependents(world: World, ref: Ref) -> list[Action]:
    """What an owner that is being deleted waits for: with finalizer `orphan` that its dependents forget it,
    with `foregroundDeletion` that those that block it have gone."""
    owner = world.get(ref)
    if owner is None or not is_terminating(owner):
        return []
    finalizers = owner["metadata"].get("finalizers") or []
    uid = owner["metadata"]["uid"]
    if ORPHAN in finalizers:
        owned = world.owned_by(uid)
        return [_forgetting(obj, found, uid) for found, obj in owned] or _freed(ref, owner, ORPHAN)
    if FOREGROUND in finalizers:
        owned = [(found, obj) for found, obj in world.owned_by(uid) if not is_terminating(obj)]
        if owned:
            return [action for found, obj in owned for action in _going(world, found, obj)]
        blocking = [obj for _, obj in world.owned_by(uid) if _blocks(obj, uid)]
        return [] if blocking else _freed(ref, owner, FOREGROUND)
    return []


def owner_refs(world: World, ref: Ref, obj: Json) -> Iterator[Ref]:
    """The owners of an object that exist and are being deleted."""
    for owner in obj["metadata"].get("ownerReferences", ()):
        try:
            kind = kind_for(owner["apiVersion"], owner["kind"])
        except UnknownKind:
            continue
        found = Ref(kind.group, kind.plural, ref.namespace if kind.namespaced else "", owner["name"])
        if (present := world.get(found)) is not None and is_terminating(present):
            yield found


def _forgetting(obj: Json, ref: Ref, uid: str) -> Action:
    left = [owner for owner in obj["metadata"]["ownerReferences"] if owner["uid"] != uid]
    return Update(ref, with_metadata(obj, ownerReferences=left or None))


def _going(world: World, ref: Ref, obj: Json) -> list[Action]:
    """Delete a dependent; one that has dependents itself waits for them in its turn."""
    if not world.owned_by(obj["metadata"]["uid"]):
        return ended(ref, obj)
    finalizers = [*(obj["metadata"].get("finalizers") or []), FOREGROUND]
    return [Update(ref, with_metadata(obj, finalizers=finalizers, deletionTimestamp=stamp(time.time())))]


def _freed(ref: Ref, owner: Json, finalizer: str) -> list[Action]:
    left = [name for name in owner["metadata"]["finalizers"] if name != finalizer]
    return [Update(ref, with_metadata(owner, finalizers=left)) if left else Delete(ref)]


def _blocks(obj: Json, uid: str) -> bool:
    owners = obj["metadata"]["ownerReferences"]
    return any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in owners)


def of_namespace(world: World, namespace: str) -> list[Action]:
    """Everything that still lives in a namespace that does not exist."""
    if world.find(NAMESPACES, "", namespace) is not None:
        return []
    return [Delete(ref) for ref, _ in world.everything() if ref.namespace == namespace]


def terminated(world: World, ref: Ref) -> list[Action]:
    """A pod that was deleted, once its node has ended it and no finalizer holds it."""
    pod = world.get(ref)
    if pod is None or not is_terminating(pod) or not is_finished(pod) or pod["metadata"].get("finalizers"):
        return []
    return [Delete(ref)]


def of_node(world: World, node: str) -> list[Action]:
    """The pods of a node that does not exist: nobody runs them, and their addresses are free again."""
    if world.find(NODES, "", node) is not None:
        return []
    return [Delete(ref) for ref, _ in world.pods_on(node)]
