"""What a workload may ask for, and does not get here: told when it is written, and in an event. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tsujiban.controller.world import PODS, STATEFUL_SETS, Json, ResourceId

_ASKED: dict[ResourceId, dict[str, str]] = {
    STATEFUL_SETS: {
        "volumeClaimTemplates": "spec.{field} cannot be served: there are no persistent volumes here, so its"
        " pods wait; use emptyDir where data need not outlive a pod"
    },
}


def unserved(kind: ResourceId, document: Json) -> list[str]:
    """What is to be said of an object of this kind, apart from its pods."""
    asked, spec = _ASKED.get(kind, {}), document.get("spec") or {}
    return [text.format(field=field) for field, text in asked.items() if spec.get(field)]


def without_effect(kind: ResourceId, document: Json) -> list[str]:
    """What is to be said of an object of this kind, and of the pods that it makes."""
    said = unserved(kind, document)
    steps = _POD_SPECS.get(kind, ("spec", "template", "spec"))
    pod: Any = document
    for step in steps:
        pod = pod.get(step) if isinstance(pod, dict) else None
    if isinstance(pod, dict) and isinstance(pod.get("containers"), list):
        where = ".".join(steps)
        said += [f"{where}.{field} is stored, and has no effect here" for field in _of_pod(pod)]
    return said


_POD_SPECS: dict[ResourceId, tuple[str, ...]] = {
    PODS: ("spec",),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template", "spec"),
}
# of a pod and of a container, with what a field may say that is so here anyway
_POD_FIELDS: dict[str, tuple[Any, ...]] = {
    "activeDeadlineSeconds": (),
    "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "None"),
    "imagePullSecrets": (),
    "overhead": (),
    "priorityClassName": (),
    "resourceClaims": (),
    "resources": (),
    "runtimeClassName": (),
    "schedulerName": ("default-scheduler",),
    "schedulingGates": (),
    "setHostnameAsFQDN": (),
    "shareProcessNamespace": (),
}
_CONTAINER_FIELDS: dict[str, tuple[Any, ...]] = {
    "restartPolicyRules": (),
    "volumeDevices": (),
}
# what a security context may ask for that every container has
_GRANTED: dict[str, tuple[Any, ...]] = {
    "allowPrivilegeEscalation": (False,),
    "privileged": (False,),
    "readOnlyRootFilesystem": (True, False),
    "runAsNonRoot": (True, False),
    "seccompProfile": ({"type": "RuntimeDefault"},),
}
_LISTS = ("initContainers", "containers")


def _of_pod(pod: Json) -> Iterator[str]:
    yield from _set(pod, _POD_FIELDS)
    yield from _rights(pod)
    for field in _LISTS:
        listed = pod.get(field)
        for index, container in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(container, dict):
                for found in _of_container(container, field):
                    yield f"{field}[{index}].{found}"


def _of_container(container: Json, field: str) -> Iterator[str]:
    yield from _set(container, _CONTAINER_FIELDS)
    yield from _rights(container)
    if container.get("restartPolicy") not in ((None, "Always") if field == "initContainers" else (None,)):
        yield "restartPolicy"
    resources = container.get("resources")
    if isinstance(resources, dict):
        if resources.get("claims"):
            yield "resources.claims"
        limits = resources.get("limits")
        if isinstance(limits, dict):
            yield from (f"resources.limits.{name}" for name in limits if name not in ("cpu", "memory"))
    for index, port in enumerate(container.get("ports") or ()):
        if isinstance(port, dict) and port.get("hostPort"):
            yield f"ports[{index}].hostPort"


def _set(holder: Json, fields: dict[str, tuple[Any, ...]]) -> Iterator[str]:
    yield from (field for field, usual in fields.items() if holder.get(field) and holder[field] not in usual)


def _rights(holder: Json) -> Iterator[str]:
    context = holder.get("securityContext")
    if not isinstance(context, dict):
        return
    for field, value in context.items():
        if field == "capabilities" and isinstance(value, dict) and not value.get("add"):
            continue
        if value not in _GRANTED.get(field, ()) and value not in (None, [], {}):
            yield f"securityContext.{field}"
