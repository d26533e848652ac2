"""Waiting until what was applied is so: policies enforced on every node, workloads available.

A policy's status says it (`Enforced`, with the generation that it is about); this reads it until
it is true of the generation that was applied, or of a later one.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from tsujiban.controller.api.cells import dig, items
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
    """Whether the object, as it is now specified, is so; and what its status says. Whatever stands in the
    status, which anybody with the right may write, there is an answer."""
    generation = _number(dig(obj, "metadata.generation"), 1)
    if kind.kind == "Deployment":
        wanted = _number(dig(obj, "spec.replicas"), 1)
        available, updated = (_number(dig(obj, f"status.{n}Replicas")) for n in ("available", "updated"))
        current = _number(dig(obj, "status.observedGeneration")) >= generation
        return current and available == updated == wanted, f"{available}/{wanted} available"
    for condition in items(obj, "status.conditions"):
        if condition.get("type") == "Enforced":
            current = _number(condition.get("observedGeneration")) >= generation
            return condition.get("status") == "True" and current, str(condition.get("message") or "")
    return False, ""


def _number(found: Any, otherwise: int = 0) -> int:
    return found if isinstance(found, int) else otherwise
