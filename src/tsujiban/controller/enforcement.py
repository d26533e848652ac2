"""The status of a policy: that it is understood, what it selects, and on how many nodes it is in force.
`apply --wait` and `kubectl wait --for=condition=Enforced` wait for it.

Source: Kubernetes API conventions, "Typical status properties" (conditions, observedGeneration).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tsujiban.controller.distribution import Distributor
from tsujiban.controller.pace import Waiting
from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.world import Json, Ref, World

ACCEPTED = "Accepted"
CONDITION = "Enforced"
SELECTED = "selectedEndpoints"
MAX_MESSAGE = 1024  # characters of what went wrong at all nodes: it is written into every policy


def plan(
    world: World, ref: Ref, distributor: Distributor, clock: Callable[[], float] = time.time
) -> list[Action]:
    """What to write for one policy; nothing when it says what is true."""
    policy = world.get(ref)
    status = _status(policy, ref, distributor)
    if policy is None or status is None:
        return []
    before = policy.get("status") or {}
    known = {condition["type"]: condition for condition in before.get("conditions", ())}
    conditions = [
        _dated(condition, known.get(condition["type"]), clock) for condition in status["conditions"]
    ]
    new = {**before, **status, "conditions": conditions}
    return [] if new == before else [Update(ref, {**policy, "status": new})]


def waiting(world: World, distributor: Distributor) -> list[Waiting]:
    """The policies whose status does not say what is true now; forgets those that have settled."""
    found = []
    for ref in sorted(distributor.unsettled):
        actions = plan(world, ref, distributor)
        before = _enforced(world.get(ref))
        if actions and isinstance(actions[0], Update):
            after = _enforced(actions[0].obj)
            found.append(Waiting(ref, urgent=_told(before) != _told(after)))
        elif before is not None and before["status"] == "True":
            distributor.unsettled.discard(ref)
    return found


def _status(policy: Json | None, ref: Ref, distributor: Distributor) -> Json | None:
    """What is true of a policy; None when there is nothing to say."""
    written = distributor.written.get(ref)
    if policy is None or written is None:
        return None
    generation = policy["metadata"].get("generation", 1)
    enforced, nodes = distributor.count(written)
    everywhere = enforced == nodes and nodes > 0
    problems = "; ".join(sorted({p for node in distributor.nodes.values() for p in node.problems}))
    accepted = {
        "type": ACCEPTED,
        "status": "True",
        "reason": ACCEPTED,
        "message": "understood, and sent to the nodes that it concerns",
        "observedGeneration": generation,
    }
    in_force = {
        "type": CONDITION,
        "status": "True" if everywhere else "False",
        "reason": "EnforcedEverywhere" if everywhere else "Waiting",
        "message": f"{enforced}/{nodes} nodes" + (f": {problems[:MAX_MESSAGE]}" if problems else ""),
        "observedGeneration": generation,
    }
    return {"conditions": [accepted, in_force], SELECTED: distributor.selected(ref)}


def _dated(condition: Json, before: Json | None, clock: Callable[[], float]) -> Json:
    """With the time since when its status is what it is."""
    since = (before or {}).get("lastTransitionTime")
    if since is None or before is None or before["status"] != condition["status"]:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock()))
    return {**condition, "lastTransitionTime": since}


def _enforced(policy: Json | None) -> Json | None:
    conditions: list[Json] = ((policy or {}).get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == CONDITION), None)


def _told(condition: Json | None) -> object:
    """What somebody may wait for: all but how far it has come."""
    return condition and (condition["status"], condition.get("observedGeneration"))
