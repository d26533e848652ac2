"""Garbage: an object whose owners are all gone goes too; so does what is left in a deleted namespace."""

from __future__ import annotations

from tsujiban.controller.reconcile.actions import Action, Delete
from tsujiban.controller.world import NAMESPACES, NODES, PODS, Json, Ref, World
from tsujiban.resources.registry import UnknownKind, kind_for


def orphaned(world: World, owner_uid: str) -> list[Action]:
    """What goes when the object with this uid has gone (background propagation)."""
    return [
        Delete(ref)
        for ref, obj in world.owned_by(owner_uid)
        if not any(alive(world, ref, owner) for owner in obj["metadata"]["ownerReferences"])
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


def of_namespace(world: World, namespace: str) -> list[Action]:
    """Everything that still lives in a namespace that does not exist."""
    if world.find(NAMESPACES, "", namespace) is not None:
        return []
    return [Delete(ref) for ref, _ in world.everything() if ref.namespace == namespace]


def of_node(world: World, node: str) -> list[Action]:
    """The pods of a node that does not exist: nobody runs them, and their addresses are free again."""
    if world.find(NODES, "", node) is not None:
        return []
    return [Delete(ref) for ref, pod in world.all(PODS) if pod["spec"].get("nodeName") == node]
