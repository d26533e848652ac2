"""ClusterRoles that are made of others: their rules follow the labels of the rest. Pure.

Source: Kubernetes documentation, "Using RBAC Authorization", "Aggregated ClusterRoles".
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.world import CLUSTER_ROLES, Json, Ref, World, selects


def plan(world: World, ref: Ref) -> list[Action]:
    """Write the rules of an aggregated role when they are not those of the roles it selects."""
    role = world.get(ref)
    selectors = ((role or {}).get("aggregationRule") or {}).get("clusterRoleSelectors")
    if role is None or not selectors:
        return []
    rules = union(
        rule
        for _, other in sorted(found for found in world.all(CLUSTER_ROLES) if found[0] != ref)
        if any(selects(selector, other["metadata"].get("labels") or {}) for selector in selectors)
        for rule in other.get("rules") or ()
    )
    if rules == (role.get("rules") or []):
        return []
    return [Update(ref, {**role, "rules": rules})]


def aggregated(world: World) -> list[Ref]:
    """All roles to look at again when any ClusterRole has changed."""
    return [ref for ref, role in world.all(CLUSTER_ROLES) if role.get("aggregationRule")]


def union(rules: Iterable[Json]) -> list[Json]:
    """Without doubles, in the order in which they first come."""
    seen: dict[bytes, Json] = {}
    for rule in rules:
        seen.setdefault(msgspec.json.encode(rule, order="sorted"), rule)
    return list(seen.values())
