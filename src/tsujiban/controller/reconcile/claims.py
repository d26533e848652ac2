"""Whose a pod is, when labels change or a controller comes back: by its selector, as in Kubernetes. Pure.

A pod that nobody controls and that the selector fits is taken up; one that it fits no longer is let go, and
replaced (so a person takes a pod out of service to look at it). What goes already stays as it is.
Source: Kubernetes documentation, "ReplicaSet", "Non-Template Pod acquisitions", "Isolating Pods".
"""

from __future__ import annotations

from typing import NamedTuple

from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.world import (
    PODS,
    Json,
    Ref,
    World,
    is_finished,
    is_terminating,
    owner_reference,
    selects,
    with_metadata,
)


class Claim(NamedTuple):
    """The pods of a controller, as they are when `actions` are done."""

    pods: list[tuple[Ref, Json]]
    actions: list[Action]


def claim(world: World, owner: Json) -> Claim:
    """Which pods the controller has, and what is to be written so that they say so."""
    head, selector = owner["metadata"], owner["spec"].get("selector")
    claimed = Claim([], [])
    odd = not fits(selector, owner["spec"]["template"])  # it would let go of all that it makes, for ever
    for ref, pod in world.owned_by(head["uid"], PODS):
        if odd or is_terminating(pod) or fits(selector, pod):
            claimed.pods.append((ref, pod))
        else:
            left = [one for one in pod["metadata"]["ownerReferences"] if one["uid"] != head["uid"]]
            claimed.actions.append(Update(ref, with_metadata(pod, ownerReferences=left or None)))
    for ref, pod in world.loose_pods(head.get("namespace", "")):
        if fits(selector, pod) and not is_terminating(pod) and not is_finished(pod):
            mine = adopted(pod, owner)
            claimed.pods.append((ref, mine))
            claimed.actions.append(Update(ref, mine))
    return claimed


def fits(selector: Json | None, pod: Json) -> bool:
    """Whether a controller's selector selects the pod (or the template of one)."""
    return selects(selector, (pod.get("metadata") or {}).get("labels") or {})


def adopted(obj: Json, owner: Json) -> Json:
    """The object, controlled by the owner."""
    owners = [*obj["metadata"].get("ownerReferences", ()), owner_reference(owner)]
    return with_metadata(obj, ownerReferences=owners)
