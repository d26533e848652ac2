"""Garbage: an object whose owners are all gone goes too; so does what is left in a deleted namespace."""

from __future__ import annotations

from tsujiban.controller.reconcile.actions import Action, Delete
from tsujiban.controller.world import NAMESPACES, Json, Ref, World


def orphaned(world: World, owner_uid: str) -> list[Action]:
    """What goes when the object with this uid has gone (background propagation)."""
    return [
        Delete(ref)
        for ref, obj in world.owned_by(owner_uid)
        if not any(alive(world, ref, owner) for owner in obj["metadata"]["ownerReferences"])
    ]


def alive(world: World, ref: Ref, owner: Json) -> bool:
    """Whether the owner that `ref` names exists, and is the very one (uid) that is meant."""
    group = owner["apiVersion"].partition("/")[0] if "/" in owner["apiVersion"] else ""
    resource = owner["kind"].lower() + "s"
    kind = (group, resource)
    found = world.find(kind, ref.namespace, owner["name"]) or world.find(kind, "", owner["name"])
    return found is not None and found["metadata"]["uid"] == owner["uid"]


def of_namespace(world: World, namespace: str) -> list[Action]:
    """Everything that still lives in a namespace that does not exist."""
    if world.find(NAMESPACES, "", namespace) is not None:
        return []
    return [Delete(ref) for ref, _ in world.everything() if ref.namespace == namespace]
