"""ControllerRevisions: the templates that a DaemonSet or StatefulSet has had, for `kubectl rollout history`
and `undo`, which sends the data of one back as a strategic merge patch. Pure.

A template that is wanted again keeps its revision, under the newest number. Source: Kubernetes API reference,
"ControllerRevision"; documentation, "Perform a Rolling Update on a DaemonSet".
"""

from __future__ import annotations

from collections.abc import Collection

from tsujiban.controller.api import documents
from tsujiban.controller.reconcile.actions import Action, Create, Delete, Update
from tsujiban.controller.reconcile.claims import adopted
from tsujiban.controller.reconcile.deployments import template_hash
from tsujiban.controller.reconcile.podtemplates import named
from tsujiban.controller.world import (
    CONTROLLER_REVISIONS,
    Json,
    Ref,
    World,
    controller_of,
    owner_reference,
    with_metadata,
)

HASH = "controller-revision-hash"
KEPT = 10
"""Old ones, when nothing is said."""
_NOT_COPIED = "kubectl.kubernetes.io/last-applied-configuration"


def digest_of(owner: Json) -> str:
    """The short name of the template that is wanted now."""
    return template_hash(owner["spec"]["template"])


def plan(world: World, owner: Json, digest: str, used: Collection[str]) -> list[Action]:
    """Have the template of now among the revisions, as the newest; forget the oldest that no pod uses, by
    the digests that are `used`."""
    owned = sorted(world.owned_by(owner["metadata"]["uid"], CONTROLLER_REVISIONS), key=_number)
    current = next((item for item in owned if _digest(item[1]) == digest), None)
    newest = max((_number(item) for item in owned if item is not current), default=0)
    if current is None:
        ref, made = _made(owner, digest, newest + 1)
        left = world.get(ref)  # by a set of the same name, perhaps, that went without it
        if left is not None:
            return [] if controller_of(left) else [Update(ref, adopted(left, owner))]
        return [Create(ref, made)]
    number = max(_number(current), newest + 1)
    annotations = _annotations(owner)
    actions: list[Action] = []
    if number != _number(current) or annotations != (current[1]["metadata"].get("annotations") or {}):
        renumbered = with_metadata(current[1], annotations=annotations or None)
        actions.append(Update(current[0], {**renumbered, "revision": number}))
    old = [ref for ref, obj in owned if _digest(obj) != digest and _digest(obj) not in used]
    limit = owner["spec"].get("revisionHistoryLimit")
    return [*actions, *(Delete(ref) for ref in old[: max(0, len(old) - (KEPT if limit is None else limit))])]


def template(world: World, owner: Json, name: str) -> Json | None:
    """The pod template of one of the owner's revisions; None when it is forgotten."""
    found = world.find(CONTROLLER_REVISIONS, owner["metadata"].get("namespace", ""), name)
    if found is None or found not in (obj for _, obj in world.owned_by(owner["metadata"]["uid"])):
        return None
    held = documents.dig(found, "data", "spec", "template")
    if not isinstance(documents.dig(held, "spec", "containers"), list):
        return None  # somebody else wrote it
    head = documents.dig(held, "metadata")
    return {"metadata": head if isinstance(head, dict) else {}, "spec": held["spec"]}


def _made(owner: Json, digest: str, number: int) -> tuple[Ref, Json]:
    template, head = owner["spec"]["template"], owner["metadata"]
    ref = Ref(*CONTROLLER_REVISIONS, head.get("namespace", ""), named(head["name"], digest))
    metadata = {
        "name": ref.name,
        "namespace": ref.namespace,
        "labels": {**(template.get("metadata", {}).get("labels") or {}), HASH: digest},
        "ownerReferences": [owner_reference(owner)],
    }
    if annotations := _annotations(owner):
        metadata["annotations"] = annotations
    obj = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "data": {"spec": {"template": {**template, "$patch": "replace"}}},
        "revision": number,
    }
    return ref, obj


def _annotations(owner: Json) -> dict[str, str]:
    """Why it was changed (`kubernetes.io/change-cause`), and what else is said of it."""
    own = owner["metadata"].get("annotations") or {}
    return {name: text for name, text in own.items() if name != _NOT_COPIED}


def _digest(revision: Json) -> str:
    return str((revision["metadata"].get("labels") or {}).get(HASH, ""))


def _number(item: tuple[Ref, Json]) -> int:
    found = item[1].get("revision")
    return found if isinstance(found, int) else 0
