"""The status of a policy: on how many nodes it is in force. `apply --wait` waits for it."""

from __future__ import annotations

from tsujiban.controller.distribution import Distributor
from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.world import Json, Ref, World

CONDITION = "Enforced"


def plan(world: World, ref: Ref, distributor: Distributor) -> list[Action]:
    """What to write for one policy."""
    policy = world.get(ref)
    written = distributor.written.get(ref)
    if policy is None or written is None:
        return []
    status = {**(policy.get("status") or {}), "conditions": [_condition(policy, *distributor.count(written))]}
    problems = sorted({p for node in distributor.nodes.values() for p in node.problems})
    if problems:
        status["conditions"][0]["message"] += ": " + "; ".join(problems)
    return [] if status == policy.get("status") else [Update(ref, {**policy, "status": status})]


def waiting(world: World, distributor: Distributor) -> list[Ref]:
    """The policies whose status does not say what is true now; forgets those that have settled."""
    found = []
    for ref in sorted(distributor.unsettled):
        if plan(world, ref, distributor):
            found.append(ref)
        elif _settled(world.get(ref)):
            distributor.unsettled.discard(ref)
    return found


def _settled(policy: Json | None) -> bool:
    conditions = ((policy or {}).get("status") or {}).get("conditions", ())
    return any(c["type"] == CONDITION and c["status"] == "True" for c in conditions)


def _condition(policy: Json, enforced: int, nodes: int) -> Json:
    everywhere = enforced == nodes and nodes > 0
    return {
        "type": CONDITION,
        "status": "True" if everywhere else "False",
        "reason": "EnforcedEverywhere" if everywhere else "Waiting",
        "message": f"{enforced}/{nodes} nodes",
        "observedGeneration": policy["metadata"].get("generation", 1),
    }
