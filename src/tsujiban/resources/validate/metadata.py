"""`metadata`, of every kind."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tsujiban.resources.kinds.meta import Object, OwnerReference
from tsujiban.resources.registry import Kind
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report

_LABEL_NAMES = frozenset(("Namespace", "Tier"))
_POLICY = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_KUBERNETES_POLICY = "knp.default."
_CALICO_POLICIES = frozenset(
    (
        "NetworkPolicy",
        "GlobalNetworkPolicy",
        "StagedNetworkPolicy",
        "StagedGlobalNetworkPolicy",
    )
)
_RESERVED_LABELS = ("projectcalico.org/namespace", "projectcalico.org/orchestrator")


def check_metadata(kind: Kind, obj: Object, report: Report) -> None:
    """Name, namespace, labels, annotations, owners."""
    meta = obj.metadata
    path = ("metadata",)
    if not meta.name:
        hint = "a generated name has no place in a set of files" if meta.generate_name else ""
        report.error((*path, "name"), "missing-field", "name is required", hint)
    else:
        problem = _name_problem(kind, meta.name)
        if problem:
            code = "odd-name" if not names.value_problem(meta.name) else "bad-name"
            report.error((*path, "name"), code, f"{meta.name[:64]!r} cannot be a name: {problem}")
    if meta.namespace:
        if not kind.namespaced:
            report.error(
                (*path, "namespace"), "conflict", f"a {kind.kind} is in no namespace", "leave it out"
            )
        elif not names.is_label(meta.namespace):
            report.error(
                (*path, "namespace"), "bad-name", f"{meta.namespace[:64]!r} cannot be the name of a namespace"
            )
    names.check_labels(meta.labels, (*path, "labels"), report)
    names.check_annotations(meta.annotations, (*path, "annotations"), report)
    _owners(meta.owner_references, report)
    if kind.module == "calico":
        for label in _RESERVED_LABELS:
            if label in meta.labels and kind.kind != "WorkloadEndpoint":
                report.error((*path, "labels", label), "reserved-label", f"label {label!r} is Calico's own")


def _owners(owners: Sequence[OwnerReference], report: Report) -> None:
    path = ("metadata", "ownerReferences")
    for index, owner in enumerate(owners):
        for field, text in (
            ("apiVersion", owner.api_version),
            ("kind", owner.kind),
            ("name", owner.name),
            ("uid", owner.uid),
        ):
            report.required((*path, index, field), text)
    if sum(owner.controller is True for owner in owners) > 1:
        report.error(path, "duplicate", "only one reference can have controller set to true")


def _name_problem(kind: Kind, name: str) -> str:
    if kind.kind in _LABEL_NAMES:
        return "" if names.is_label(name) else "at most 63 of a-z, 0-9 and '-'"
    if kind.kind == "Service":
        return "" if names.is_label_1035(name) else "at most 63 of a-z, 0-9 and '-', a letter first"
    if kind.module == "calico" and kind.kind in _CALICO_POLICIES:
        return _policy_name_problem(kind, name)
    if kind.module == "rbac":
        return names.segment_problem(name)
    if not names.is_subdomain(name):
        return "at most 253 of a-z, 0-9, '-' and '.', a letter or digit at both ends of each part"
    return ""


def _policy_name_problem(kind: Kind, name: str) -> str:
    if len(name) > 253:
        return "longer than 253 characters"
    if name.startswith(_KUBERNETES_POLICY):
        if not kind.namespaced:
            return f"{_KUBERNETES_POLICY!r} names Kubernetes' own policies, which have a namespace"
        return "" if names.is_subdomain(name) else "not a DNS name"
    if not _POLICY.fullmatch(name):
        return "a-z, 0-9 and '-', with at most one '.', after the tier's name"
    return ""
