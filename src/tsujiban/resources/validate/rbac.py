"""Roles and bindings. Source: kubernetes pkg/apis/rbac/validation, as described in the API reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsujiban.resources.kinds import rbac
from tsujiban.resources.positions import Path
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report

_SUBJECTS = ("User", "Group", "ServiceAccount")


def _role(role: rbac.Role, raw: Mapping[str, Any], report: Report) -> None:
    for index, rule in enumerate(role.rules):
        _rule(rule, ("rules", index), report, namespaced=True)


def _cluster_role(role: rbac.ClusterRole, raw: Mapping[str, Any], report: Report) -> None:
    for index, rule in enumerate(role.rules):
        _rule(rule, ("rules", index), report, namespaced=False)
    if role.aggregation_rule is None:
        return
    path: Path = ("aggregationRule", "clusterRoleSelectors")
    selectors = role.aggregation_rule.cluster_role_selectors
    if not selectors:
        report.error(path, "missing-field", "at least one clusterRoleSelector is required")
    for index, selector in enumerate(selectors):
        names.check_selector(selector, (*path, index), report)


def _rule(rule: rbac.PolicyRule, path: Path, report: Report, *, namespaced: bool) -> None:
    if not rule.verbs:
        report.error((*path, "verbs"), "missing-field", "verbs must contain at least one value")
    if rule.non_resource_urls:
        urls = (*path, "nonResourceURLs")
        if namespaced:
            report.error(urls, "conflict", "namespaced rules cannot apply to non-resource URLs")
        if rule.api_groups or rule.resources or rule.resource_names:
            report.error(
                urls, "conflict", "rules cannot apply to both regular resources and non-resource URLs"
            )
        for index, url in enumerate(rule.non_resource_urls):
            if "*" in url[:-1] or not (url == "*" or url.startswith("/")):
                text = f"{url[:64]!r} must be a path, with '*' at its end only"
                report.error((*urls, index), "bad-value", text)
        return
    if not rule.api_groups:
        hint = 'the core group is ""'
        text = "resource rules must supply at least one api group"
        report.error((*path, "apiGroups"), "missing-field", text, hint)
    if not rule.resources:
        text = "resource rules must supply at least one resource"
        report.error((*path, "resources"), "missing-field", text)


def _role_binding(binding: rbac.RoleBinding, raw: Mapping[str, Any], report: Report) -> None:
    _binding(binding.role_ref, binding.subjects, report, ("Role", "ClusterRole"))


def _cluster_role_binding(binding: rbac.ClusterRoleBinding, raw: Mapping[str, Any], report: Report) -> None:
    _binding(binding.role_ref, binding.subjects, report, ("ClusterRole",))


def _binding(
    role: rbac.RoleRef, subjects: Sequence[rbac.Subject], report: Report, kinds: Sequence[str]
) -> None:
    report.one_of(("roleRef", "apiGroup"), role.api_group, (rbac.GROUP,), empty=True)
    report.one_of(("roleRef", "kind"), role.kind, kinds)
    if report.required(("roleRef", "name"), role.name):
        problem = names.segment_problem(role.name)
        if problem:
            report.error(("roleRef", "name"), "bad-name", f"{role.name[:64]!r} cannot be a role: {problem}")
    for index, subject in enumerate(subjects):
        _subject(subject, ("subjects", index), report)


def _subject(subject: rbac.Subject, path: Path, report: Report) -> None:
    report.required((*path, "name"), subject.name)
    if not report.one_of((*path, "kind"), subject.kind, _SUBJECTS):
        return
    if subject.kind == "ServiceAccount":
        if subject.api_group:
            report.error((*path, "apiGroup"), "bad-value", "the api group of a ServiceAccount is empty")
        if subject.name and not names.is_subdomain(subject.name):
            report.error((*path, "name"), "bad-name", f"{subject.name[:64]!r} cannot be a service account")
        if report.required((*path, "namespace"), subject.namespace) and not names.is_label(subject.namespace):
            text = f"{subject.namespace[:64]!r} cannot be the name of a namespace"
            report.error((*path, "namespace"), "bad-name", text)
        return
    report.one_of((*path, "apiGroup"), subject.api_group, (rbac.GROUP,), empty=True)
    if subject.namespace:
        report.error((*path, "namespace"), "conflict", f"a {subject.kind} is in no namespace", "leave it out")


CHECKS = {
    "Role": _role,
    "ClusterRole": _cluster_role,
    "RoleBinding": _role_binding,
    "ClusterRoleBinding": _cluster_role_binding,
}
