"""What a kind's values may be: one module per family of kinds.

Every check runs and reports, so that one pass tells all that is wrong. The rules are those of
the API servers that the kinds come from; where ours are stricter, docs/resources.md says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast

from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.registry import Kind
from tsujiban.resources.shape import Problem
from tsujiban.resources.validate.metadata import check_metadata
from tsujiban.resources.validate.report import Report

Check = Callable[[Any, Mapping[str, Any], Report], None]

_MODULES = {
    "netpol": "kubernetes",
    "cnp": "cluster",
    "istio": "istio",
    "core": "workloads",
    "apps": "workloads",
    "batch": "jobs",
    "calico": "calico",
    "rbac": "rbac",
    "certificates": "certificates",
    "disruption": "disruption",
    "ingress": "ingress",
    "storage": "storage",
}


def validate(kind: Kind, obj: Object, raw: Mapping[str, Any]) -> list[Problem]:
    """All that is wrong with the values of one object; `raw` is the object as it was written."""
    report = Report()
    check_metadata(kind, obj, report)
    module = import_module(f"tsujiban.resources.validate.{_MODULES[kind.module]}")
    check = cast("dict[str, Check]", module.CHECKS).get(kind.kind)
    if check is not None:
        check(obj, raw, report)
    return report.problems
