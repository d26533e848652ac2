"""Namespace to its `default` ServiceAccount: the identity of a pod that names none."""

from __future__ import annotations

from tsujiban.controller.reconcile.actions import Action, Create
from tsujiban.controller.world import SERVICE_ACCOUNTS, Ref, World


def plan(world: World, ref: Ref) -> list[Action]:
    """What to write for one Namespace."""
    if world.get(ref) is None or world.find(SERVICE_ACCOUNTS, ref.name, "default"):
        return []
    metadata = {"name": "default", "namespace": ref.name}
    obj = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    return [Create(Ref(*SERVICE_ACCOUNTS, ref.name, "default"), obj)]
