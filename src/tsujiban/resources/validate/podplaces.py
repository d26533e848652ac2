"""Where a pod may run (affinity, spreading), and what its readiness waits for: planners rely on the form.

Source: Kubernetes "Assigning Pods to Nodes", "Pod Topology Spread Constraints", "Pod readiness", and the
answers of its API server.
"""

from __future__ import annotations

from collections.abc import Sequence

from tsujiban.resources.kinds import core, parts
from tsujiban.resources.positions import Path
from tsujiban.resources.shape import convert
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_ONE_NUMBER = ("Gt", "Lt")
_NODE_OPERATORS = (*names.OPERATORS, *_ONE_NUMBER)
_NODE_FIELD = "metadata.name"
_HARD = "DoNotSchedule"
_UNSATISFIABLE = (_HARD, "ScheduleAnyway")
_NODE_POLICIES = ("Honor", "Ignore")
_MOST = 2**31 - 1


def check(spec: core.PodSpec, path: Path, report: Report) -> None:
    """A pod's affinity, topology spread constraints and readiness gates."""
    said = {
        "affinity": spec.affinity,
        "topologySpreadConstraints": spec.topology_spread_constraints,
        "readinessGates": spec.readiness_gates,
    }
    held = {name: value for name, value in said.items() if value is not None}
    found, problems = convert(held, parts.PodPlaces, nulls=False)
    report.within(path, problems)
    if found is None or problems:
        return
    _node_affinity(found.affinity.node_affinity, (*path, "affinity", "nodeAffinity"), report)
    for field, affinity in (
        ("podAffinity", found.affinity.pod_affinity),
        ("podAntiAffinity", found.affinity.pod_anti_affinity),
    ):
        _pod_affinity(affinity, (*path, "affinity", field), report)
    _spread(found.topology_spread_constraints, (*path, "topologySpreadConstraints"), report)
    for index, gate in enumerate(found.readiness_gates):
        here = (*path, "readinessGates", index, "conditionType")
        if report.required(here, gate.condition_type) and (problem := names.key_problem(gate.condition_type)):
            report.error(here, "bad-name", f"{gate.condition_type[:64]!r} is not a qualified name: {problem}")


def _node_affinity(affinity: parts.NodeAffinity | None, path: Path, report: Report) -> None:
    if affinity is None:
        return
    required = affinity.required_during_scheduling_ignored_during_execution
    if required is not None:
        here = (*path, _REQUIRED, "nodeSelectorTerms")
        if not required.node_selector_terms:
            report.error(here, "missing-field", "must have at least one node selector term")
        for index, term in enumerate(required.node_selector_terms):
            _node_term(term, (*here, index), report)
    for index, liked in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        here = (*path, _PREFERRED, index)
        report.between((*here, "weight"), liked.weight, 1, 100)
        _node_term(liked.preference or parts.NodeSelectorTerm(), (*here, "preference"), report)


def _node_term(term: parts.NodeSelectorTerm, path: Path, report: Report) -> None:
    for index, asked in enumerate(term.match_expressions):
        here = (*path, "matchExpressions", index)
        if report.required((*here, "key"), asked.key):
            names.check_key(asked.key, (*here, "key"), report)
        if report.one_of((*here, "operator"), asked.operator, _NODE_OPERATORS):
            _values(asked, (*here, "values"), report)
    for index, asked in enumerate(term.match_fields):
        here = (*path, "matchFields", index)
        report.one_of((*here, "key"), asked.key, (_NODE_FIELD,))
        report.one_of((*here, "operator"), asked.operator, ("In", "NotIn"))
        if len(asked.values) != 1:
            report.error(
                (*here, "values"), "bad-value", "a field of a node is compared with exactly one value"
            )


def _values(asked: parts.NodeSelectorRequirement, path: Path, report: Report) -> None:
    number = len(asked.values)
    if asked.operator in ("In", "NotIn") and not number:
        report.error(path, "missing-field", f"values are required with {asked.operator}")
    elif asked.operator in _ONE_NUMBER and number != 1:
        report.error(path, "bad-value", f"{asked.operator} compares with exactly one value")
    elif asked.operator in ("Exists", "DoesNotExist") and number:
        report.error(path, "conflict", f"values are not allowed with {asked.operator}")


def _pod_affinity(affinity: parts.PodAffinity | None, path: Path, report: Report) -> None:
    if affinity is None:
        return
    for index, term in enumerate(affinity.required_during_scheduling_ignored_during_execution):
        _pod_term(term, (*path, _REQUIRED, index), report)
    for index, liked in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        here = (*path, _PREFERRED, index)
        report.between((*here, "weight"), liked.weight, 1, 100)
        _pod_term(liked.pod_affinity_term or parts.PodAffinityTerm(), (*here, "podAffinityTerm"), report)


def _pod_term(term: parts.PodAffinityTerm, path: Path, report: Report) -> None:
    names.check_selector(term.label_selector, (*path, "labelSelector"), report)
    names.check_selector(term.namespace_selector, (*path, "namespaceSelector"), report)
    for index, name in enumerate(term.namespaces):
        if not names.is_label(name):
            report.error((*path, "namespaces", index), "bad-name", f"{name[:64]!r} is not a DNS label")
    if report.required((*path, "topologyKey"), term.topology_key):
        names.check_key(term.topology_key, (*path, "topologyKey"), report)
    selects = term.label_selector is not None
    _keys(term.match_label_keys, selects, (*path, "matchLabelKeys"), report)
    _keys(term.mismatch_label_keys, selects, (*path, "mismatchLabelKeys"), report)
    for index, key in enumerate(term.mismatch_label_keys):
        if key in term.match_label_keys:
            report.error(
                (*path, "mismatchLabelKeys", index), "conflict", f"{key[:64]!r} is in matchLabelKeys"
            )


def _spread(constraints: Sequence[parts.TopologySpreadConstraint], path: Path, report: Report) -> None:
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(constraints):
        here = (*path, index)
        report.between((*here, "maxSkew"), one.max_skew, 1, _MOST)
        report.required((*here, "topologyKey"), one.topology_key)
        report.one_of((*here, "whenUnsatisfiable"), one.when_unsatisfiable, _UNSATISFIABLE)
        if one.min_domains is not None:
            report.between((*here, "minDomains"), one.min_domains, 1, _MOST)
            if one.when_unsatisfiable != _HARD:
                report.error((*here, "minDomains"), "conflict", f"it is only for whenUnsatisfiable: {_HARD}")
        for field, policy in (
            ("nodeAffinityPolicy", one.node_affinity_policy),
            ("nodeTaintsPolicy", one.node_taints_policy),
        ):
            if policy is not None:
                report.one_of((*here, field), policy, _NODE_POLICIES)
        names.check_selector(one.label_selector, (*here, "labelSelector"), report)
        _keys(one.match_label_keys, one.label_selector is not None, (*here, "matchLabelKeys"), report)
        pair = (one.topology_key, one.when_unsatisfiable)
        if pair in seen:
            report.error(here, "duplicate", f"{pair[0][:64]!r} with {pair[1][:64]!r} stands twice")
        seen.add(pair)


def _keys(keys: Sequence[str], selects: bool, path: Path, report: Report) -> None:
    if keys and not selects:
        report.error(path, "conflict", "must not be specified when labelSelector is not set")
    for index, key in enumerate(keys):
        names.check_key(key, (*path, index), report)
