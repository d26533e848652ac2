"""Disruption budgets. Source: Kubernetes API reference, PodDisruptionBudget v1 policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsujiban.resources.kinds import disruption
from tsujiban.resources.positions import Path
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report

POLICIES = ("IfHealthyBudget", "AlwaysAllow")


def _budget(budget: disruption.PodDisruptionBudget, raw: Mapping[str, Any], report: Report) -> None:
    spec = budget.spec
    path: Path = ("spec",)
    for field, value in (("minAvailable", spec.min_available), ("maxUnavailable", spec.max_unavailable)):
        if value is not None:
            report.share((*path, field), value)
    if spec.min_available is not None and spec.max_unavailable is not None:
        report.error(
            (*path, "maxUnavailable"), "conflict", "minAvailable and maxUnavailable exclude each other"
        )
    names.check_selector(spec.selector, (*path, "selector"), report)
    if spec.unhealthy_pod_eviction_policy is not None:
        report.one_of((*path, "unhealthyPodEvictionPolicy"), spec.unhealthy_pod_eviction_policy, POLICIES)


CHECKS = {"PodDisruptionBudget": _budget}
