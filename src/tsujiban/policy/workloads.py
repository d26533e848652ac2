"""Workload kinds stand for their pods when files are analysed: one pod each, as its template says.

A Deployment, its ReplicaSet and its Pods may all be in the files (a dump of a cluster). Only the
outermost is taken away: what has a controller among the objects is not asked for pods again, and
a workload whose pods are there stands back for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from tsujiban.resources import selectors
from tsujiban.resources.kinds import apps, batch, core
from tsujiban.resources.kinds.meta import LabelSelector, Object

Workload = (
    apps.Deployment
    | apps.StatefulSet
    | apps.DaemonSet
    | apps.ReplicaSet
    | apps.ReplicationController
    | batch.Job
    | batch.CronJob
)


class StandIn(NamedTuple):
    """A workload, and the pod that stands for all of its pods."""

    workload: Object
    pod: core.Pod


def template_of(workload: Object) -> core.PodTemplate | None:
    """The pod template of a workload kind; None for other kinds."""
    match workload:
        case batch.CronJob():
            return workload.spec.job_template.spec.template
        case apps.ReplicationController():
            return workload.spec.template
        case apps.Deployment() | apps.StatefulSet() | apps.DaemonSet() | apps.ReplicaSet() | batch.Job():
            return workload.spec.template
    return None


def stand_ins(objects: Iterable[Object]) -> Iterator[StandIn]:
    """A pod for every workload that has none among the objects. Its name is the workload's, or,
    where a pod or workload already has that name, the name with the kind behind it."""
    objects = list(objects)
    present = {(o.kind, _namespace(o), o.metadata.name) for o in objects}
    taken = {(_namespace(o), o.metadata.name) for o in objects if isinstance(o, core.Pod)}
    pods = [o for o in objects if isinstance(o, core.Pod)]
    for workload in objects:
        template = template_of(workload)
        if template is None or _controlled(workload, present) or _has_pods(workload, template, pods):
            continue
        namespace, name = _namespace(workload), workload.metadata.name
        if (namespace, name) in taken:
            name = f"{name}-{workload.kind.lower()}"
        taken.add((namespace, name))
        metadata = msgspec.structs.replace(template.metadata, name=name, namespace=namespace)
        pod = core.Pod(api_version="v1", kind="Pod", metadata=metadata, spec=template.spec)
        yield StandIn(workload, pod)


def pods_of(workload: Object, pods: Iterable[core.Pod]) -> list[core.Pod]:
    """The pods that a workload's template and selector fit."""
    template = template_of(workload)
    return [] if template is None else _pods(workload, template, pods)


def _pods(workload: Object, template: core.PodTemplate, pods: Iterable[core.Pod]) -> list[core.Pod]:
    wanted = _selector(workload, template)
    return [
        pod
        for pod in pods
        if _namespace(pod) == _namespace(workload)
        and pod.metadata.labels
        and wanted.matches(pod.metadata.labels)
    ]


def _has_pods(workload: Object, template: core.PodTemplate, pods: list[core.Pod]) -> bool:
    return bool(_pods(workload, template, pods))


def _selector(workload: Object, template: core.PodTemplate) -> selectors.Selector:
    given: object = getattr(getattr(workload, "spec", None), "selector", None)
    if isinstance(given, LabelSelector):
        return selectors.from_label_selector(given)
    labels = given if isinstance(given, dict) and given else template.metadata.labels
    if not labels:
        return selectors.NOTHING
    return selectors.from_label_selector(LabelSelector(match_labels=labels))


def _controlled(workload: Object, present: set[tuple[str, str, str]]) -> bool:
    """Whether a controller of the workload is among the objects."""
    return any(
        owner.controller and (owner.kind, _namespace(workload), owner.name) in present
        for owner in workload.metadata.owner_references
    )


def _namespace(obj: Object) -> str:
    return obj.metadata.namespace or "default"
