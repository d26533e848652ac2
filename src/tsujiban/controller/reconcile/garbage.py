"""Garbage: an object whose owners are all gone goes too; so does what is left in a deleted namespace."""

from __future__ import annotations

from tsujiban.controller.reconcile.actions import Action, Delete
from tsujiban.controller.world import NAMESPACES, Json, Ref, World


def orphaned(world: World, deleted: Json) -> list[Action]:
    """What goes when `deleted` has gone (background propagation)."""
    uid = deleted["metadata"]["uid"]
    return [
        Delete(ref)
        for ref, obj in world.owned_by(uid)
        if not any(_alive(world, ref, owner) for owner in obj["metadata"]["ownerReferences"])
    ]


def _alive(world: World, ref: Ref, owner: Json) -> bool:
    group = owner["apiVersion"].partition("/")[0] if "/" in owner["apiVersion"] else ""
    resource = owner["kind"].lower() + "s"
    found = world.find((group, resource), ref.namespace, owner["name"])
    return found is not None and found["metadata"]["uid"] == owner["uid"]


def of_namespace(world: World, namespace: str) -> list[Action]:
    """Everything that still lives in a namespace that does not exist."""
    if world.find(NAMESPACES, "", namespace) is not None:
        return []
    return [Delete(ref) for ref, _ in world.everything() if ref.namespace == namespace]
