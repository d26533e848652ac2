"""From a template to a pod: what every controller that makes pods does alike.

Such pods come by no request, so what admission adds to a pod (its ServiceAccount) is added here.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

from tsujiban.controller.api import defaulting
from tsujiban.controller.world import PODS, Json, Ref, owner_reference
from tsujiban.resources.registry import by_plural

# No vowels (no words), and nothing that reads like another character.
_ALPHABET = "bcdfghjkmnpqrstvwxz2456789"
_NAME_LENGTH = 240  # of what stands before a suffix

_POD = by_plural("", "v1", "pods")


AT_ONCE = 500
"""Pods that a workload has made in one step, and that may wait for a node: more would only wait, too."""


def may_make(missing: int, pods: Iterable[Json]) -> int:
    """How many of the pods that a workload lacks are made now, beside those that it has. Two thousand million
    replicas are soon asked for; the rest follows when these have found a place."""
    waiting = sum(not pod["spec"].get("nodeName") for pod in pods)
    return max(0, min(missing, AT_ONCE - waiting))


def random_suffix() -> str:
    """Five characters for a pod's name."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(5))


def named(base: str, suffix: str) -> str:
    """A name that begins with another."""
    return f"{base[:_NAME_LENGTH]}-{suffix}"


def pod_of(
    owner: Json,
    template: Json,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    finalizers: tuple[str, ...] = (),
    spec: Json | None = None,
) -> tuple[Ref, Json]:
    """A pod of `owner`; `labels`, `annotations` and `spec` are added to what the template says."""
    namespace = owner["metadata"].get("namespace", "")
    head = template.get("metadata", {})
    metadata = {
        **head,
        "name": name,
        "namespace": namespace,
        "ownerReferences": [owner_reference(owner)],
    }
    for field, more in (("labels", labels), ("annotations", annotations)):
        if more:
            metadata[field] = {**head.get(field, {}), **more}
    if finalizers:
        metadata["finalizers"] = [*head.get("finalizers", ()), *finalizers]
    obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**template["spec"], **(spec or {})},
    }
    return Ref(*PODS, namespace, name), defaulting.filled(obj, _POD)
