"""Waiting until what was applied is so: policies enforced on every node, workloads available.

A policy's status says it (`Enforced`, with the generation that it is about); this reads it until
it is true of the generation that was applied, or of a later one.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from tsujiban.local.client import Client
from tsujiban.local.waiting import POLL_SECONDS
from tsujiban.resources.registry import Kind, kind_for

Json = dict[str, Any]
POLICIES = {
    "NetworkPolicy",
    "GlobalNetworkPolicy",
    "ClusterNetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "AuthorizationPolicy",
    "PeerAuthentication",
}


class Timeout(Exception):
    """Not in time; the text says what is missing."""


class Waited(NamedTuple):
    """What there was to wait for."""

    policies: int
    workloads: int
    where: str  # e.g. "2/2 nodes"


def wait_for(client: Client, objects: list[Json], seconds: float) -> Waited:
    """Wait for every policy and Deployment among `objects`. Raises Timeout."""
    deadline = time.monotonic() + seconds
    waiting = [(kind_for(obj["apiVersion"], obj["kind"]), obj["metadata"]) for obj in objects]
    waiting = [(kind, meta) for kind, meta in waiting if kind.kind in POLICIES or kind.kind == "Deployment"]
    policies = sum(kind.kind in POLICIES for kind, _ in waiting)
    where, last = "", ""
    for kind, meta in waiting:
        while True:
            done, last = state(kind, client.get(kind, meta.get("namespace"), meta["name"]))
            if done:
                where = last if kind.kind in POLICIES else where
                break
            if time.monotonic() > deadline:
                raise Timeout(
                    f"{kind.singular} {meta['name']} after {seconds:.0f} s: {last or 'no status yet'}"
                )
            time.sleep(POLL_SECONDS)
    return Waited(policies, len(waiting) - policies, where)


def state(kind: Kind, obj: Json) -> tuple[bool, str]:
    """Whether the object, as it is now specified, is so; and what its status says."""
    status = obj.get("status") or {}
    generation = obj["metadata"].get("generation", 1)
    if kind.kind == "Deployment":
        wanted = obj["spec"].get("replicas", 1)
        available, updated = status.get("availableReplicas", 0), status.get("updatedReplicas", 0)
        current = status.get("observedGeneration", 0) >= generation
        return current and available == updated == wanted, f"{available}/{wanted} available"
    for condition in status.get("conditions", []):
        if condition.get("type") == "Enforced":
            current = condition.get("observedGeneration", 0) >= generation
            return condition.get("status") == "True" and current, str(condition.get("message", ""))
    return False, ""
