"""policy/v1: how many pods of a set may be taken away at a time. Nothing of network policy."""

from __future__ import annotations

import msgspec

from tsujiban.resources.kinds.core import Condition
from tsujiban.resources.kinds.meta import LabelSelector, Object, Shape, Status

GROUP = "policy"


class PodDisruptionBudgetSpec(Shape, frozen=True):
    """Numbers, or percentages of the pods that there should be. A selector that is absent selects nothing, an
    empty one every pod of the namespace."""

    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: LabelSelector | None = None
    unhealthy_pod_eviction_policy: str | None = None


class PodDisruptionBudgetStatus(Status, frozen=True):
    """`disrupted_pods` were promised to somebody who evicts them, at these times, and are not gone yet."""

    observed_generation: int = 0
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    disrupted_pods: dict[str, str] = msgspec.field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()


class PodDisruptionBudget(Object, frozen=True):
    """policy/v1 PodDisruptionBudget."""

    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    status: PodDisruptionBudgetStatus | None = None
