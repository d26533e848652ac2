"""Kinds that stand for their pods: apps/v1 and v1 ReplicationController."""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.resources.kinds.core import PodTemplate
from tsujiban.resources.kinds.meta import LabelSelector, Object, Shape


class RollingUpdateDeployment(Shape, frozen=True):
    """Numbers, or percentages of the replicas."""

    max_surge: int | str | None = None
    max_unavailable: int | str | None = None


class DeploymentStrategy(Shape, frozen=True):
    """How pods are replaced."""

    type: str = ""
    rolling_update: RollingUpdateDeployment | None = None


class DeploymentSpec(Shape, frozen=True):
    """`replicas` None is 1."""

    replicas: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplate = PodTemplate()
    strategy: DeploymentStrategy | None = None
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None
    paused: bool = False
    progress_deadline_seconds: int | None = None


class Deployment(Object, frozen=True):
    """apps/v1 Deployment."""

    spec: DeploymentSpec = DeploymentSpec()
    status: Any = None


class RollingUpdateStatefulSet(Shape, frozen=True):
    """`partition`: pods of lower ordinals stay as they are."""

    partition: int | None = None
    max_unavailable: int | str | None = None


class StatefulSetUpdateStrategy(Shape, frozen=True):
    """How pods are replaced; `type` is RollingUpdate or OnDelete."""

    type: str = ""
    rolling_update: RollingUpdateStatefulSet | None = None


class StatefulSetOrdinals(Shape, frozen=True):
    """`start` is the first pod's number."""

    start: int = 0


class StatefulSetSpec(Shape, frozen=True):
    """`replicas` None is 1."""

    replicas: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplate = PodTemplate()
    service_name: str = ""
    volume_claim_templates: tuple[dict[str, Any], ...] | None = None
    pod_management_policy: str = ""
    update_strategy: StatefulSetUpdateStrategy | None = None
    revision_history_limit: int | None = None
    min_ready_seconds: int = 0
    persistent_volume_claim_retention_policy: Any = None
    ordinals: StatefulSetOrdinals | None = None


class StatefulSet(Object, frozen=True):
    """apps/v1 StatefulSet."""

    spec: StatefulSetSpec = StatefulSetSpec()
    status: Any = None


class RollingUpdateDaemonSet(Shape, frozen=True):
    """Numbers of nodes, or percentages of those that should run a pod."""

    max_surge: int | str | None = None
    max_unavailable: int | str | None = None


class DaemonSetUpdateStrategy(Shape, frozen=True):
    """How pods are replaced; `type` is RollingUpdate or OnDelete."""

    type: str = ""
    rolling_update: RollingUpdateDaemonSet | None = None


class DaemonSetSpec(Shape, frozen=True):
    """One pod a node."""

    selector: LabelSelector | None = None
    template: PodTemplate = PodTemplate()
    update_strategy: DaemonSetUpdateStrategy | None = None
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None


class DaemonSet(Object, frozen=True):
    """apps/v1 DaemonSet."""

    spec: DaemonSetSpec = DaemonSetSpec()
    status: Any = None


class ControllerRevision(Object, frozen=True):
    """apps/v1 ControllerRevision: what a DaemonSet or StatefulSet was, as a patch that makes it so again."""

    data: Any = None
    revision: int = 0


class ReplicaSetSpec(Shape, frozen=True):
    """`replicas` None is 1."""

    replicas: int | None = None
    min_ready_seconds: int = 0
    selector: LabelSelector | None = None
    template: PodTemplate = PodTemplate()


class ReplicaSet(Object, frozen=True):
    """apps/v1 ReplicaSet."""

    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: Any = None


class ReplicationControllerSpec(Shape, frozen=True):
    """`selector` is a plain map; `replicas` None is 1."""

    replicas: int | None = None
    min_ready_seconds: int = 0
    selector: dict[str, str] = msgspec.field(default_factory=dict)
    template: PodTemplate | None = None


class ReplicationController(Object, frozen=True):
    """v1 ReplicationController."""

    spec: ReplicationControllerSpec = ReplicationControllerSpec()
    status: Any = None
