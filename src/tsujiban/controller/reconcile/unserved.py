"""What a workload may ask for, and does not get here: told when it is written, and in an event. Pure."""

from __future__ import annotations

from tsujiban.controller.world import JOBS, STATEFUL_SETS, Json, ResourceId

_NO_EFFECT = "spec.{field} is stored, and has no effect here"
_ASKED: dict[ResourceId, dict[str, str]] = {
    JOBS: {"backoffLimitPerIndex": _NO_EFFECT, "maxFailedIndexes": _NO_EFFECT},
    STATEFUL_SETS: {
        "volumeClaimTemplates": "spec.{field} cannot be served: there are no persistent volumes here, so its"
        " pods wait; use emptyDir where data need not outlive a pod"
    },
}


def without_effect(kind: ResourceId, document: Json) -> list[str]:
    """What is to be said of an object of this kind."""
    asked, spec = _ASKED.get(kind, {}), document.get("spec") or {}
    return [text.format(field=field) for field, text in asked.items() if spec.get(field)]
