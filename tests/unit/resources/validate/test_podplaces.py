from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources.kinds.core import PodSpec
from tsujiban.resources.validate import podplaces
from tsujiban.resources.validate.report import Report

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
HOST = "kubernetes.io/hostname"
TERM = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": HOST}
EVEN = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}


def wrong(**spec: Any) -> list[str]:
    report = Report()
    podplaces.check(PodSpec(**spec), ("spec",), report)
    return [".".join(map(str, problem.path)) for problem in report.problems]


def nodes(**requirement: Any) -> dict[str, Any]:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}}}


def field(**requirement: Any) -> dict[str, Any]:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchFields": [requirement]}]}}}


def pods(**term: Any) -> dict[str, Any]:
    return {"podAntiAffinity": {REQUIRED: [{**TERM, **term}]}}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"affinity": {}, "topology_spread_constraints": [], "readiness_gates": []},
        {"affinity": nodes(key="disk", operator="In", values=["ssd"])},
        {"affinity": nodes(key="cores", operator="Gt", values=["4"])},
        {"affinity": nodes(key="disk", operator="Exists")},
        {"affinity": field(key="metadata.name", operator="In", values=["n1"])},
        {"affinity": {"nodeAffinity": {PREFERRED: [{"weight": 100, "preference": {}}]}}},
        {"affinity": pods(namespaces=["shop"], namespaceSelector={}, matchLabelKeys=["pod-template-hash"])},
        {"affinity": {"podAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": TERM}]}}},
        {"topology_spread_constraints": [EVEN, {**EVEN, "whenUnsatisfiable": "ScheduleAnyway"}]},
        {"topology_spread_constraints": [{**EVEN, "minDomains": 2, "nodeTaintsPolicy": "Honor"}]},
        {"readiness_gates": [{"conditionType": "example.com/Open"}, {"conditionType": "Open"}]},
    ],
)
def test_what_is_right(spec: dict[str, Any]) -> None:
    assert wrong(**spec) == []


NODE = f"nodeAffinity.{REQUIRED}.nodeSelectorTerms"
LIKED = f"nodeAffinity.{PREFERRED}.0"
APART = f"podAntiAffinity.{REQUIRED}.0"


@pytest.mark.parametrize(
    ("affinity", "path"),
    [
        (5, ""),
        ({"podAffinity": []}, "podAffinity"),
        (nodes(key="a b", operator="Exists"), f"{NODE}.0.matchExpressions.0.key"),
        (nodes(operator="Exists"), f"{NODE}.0.matchExpressions.0.key"),
        (nodes(key="a", operator="Near"), f"{NODE}.0.matchExpressions.0.operator"),
        (nodes(key="a", operator="In"), f"{NODE}.0.matchExpressions.0.values"),
        (nodes(key="a", operator="In", values="abc"), f"{NODE}.0.matchExpressions.0.values"),
        (nodes(key="a", operator="Exists", values=["b"]), f"{NODE}.0.matchExpressions.0.values"),
        (nodes(key="a", operator="Lt", values=["1", "2"]), f"{NODE}.0.matchExpressions.0.values"),
        (field(key="metadata.uid", operator="In", values=["n"]), f"{NODE}.0.matchFields.0.key"),
        (field(key="metadata.name", operator="Exists", values=["n"]), f"{NODE}.0.matchFields.0.operator"),
        (field(key="metadata.name", operator="In", values=[]), f"{NODE}.0.matchFields.0.values"),
        ({"nodeAffinity": {REQUIRED: {}}}, NODE),
        ({"nodeAffinity": {PREFERRED: [{"weight": 0, "preference": {}}]}}, f"{LIKED}.weight"),
        ({"nodeAffinity": {PREFERRED: [{"weight": "x", "preference": {}}]}}, f"{LIKED}.weight"),
        (
            {"podAffinity": {PREFERRED: [{"weight": 101, "podAffinityTerm": TERM}]}},
            f"podAffinity.{PREFERRED}.0.weight",
        ),
        (
            {"podAffinity": {PREFERRED: [{"weight": 1}]}},
            f"podAffinity.{PREFERRED}.0.podAffinityTerm.topologyKey",
        ),
        (pods(topologyKey=""), f"{APART}.topologyKey"),
        (pods(topologyKey="a b"), f"{APART}.topologyKey"),
        (pods(namespaces=5), f"{APART}.namespaces"),
        (pods(namespaces=["Shop"]), f"{APART}.namespaces.0"),
        (
            pods(labelSelector={"matchExpressions": [{"key": ["x"], "operator": "Exists"}]}),
            f"{APART}.labelSelector.matchExpressions.0.key",
        ),
        (
            pods(namespaceSelector={"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}),
            f"{APART}.namespaceSelector.matchExpressions.0.operator",
        ),
        (pods(mismatchLabelKeys=["a b"]), f"{APART}.mismatchLabelKeys.0"),
        (pods(matchLabelKeys=["a"], mismatchLabelKeys=["a"]), f"{APART}.mismatchLabelKeys.0"),
        (
            {"podAntiAffinity": {REQUIRED: [{"topologyKey": HOST, "matchLabelKeys": ["a"]}]}},
            f"{APART}.matchLabelKeys",
        ),
    ],
)
def test_an_affinity_that_is_none_is_told_where_it_is(affinity: Any, path: str) -> None:
    assert wrong(affinity=affinity) == [f"spec.affinity.{path}".rstrip(".")]


@pytest.mark.parametrize(
    ("constraints", "path"),
    [
        ([{**EVEN, "maxSkew": "x"}], "0.maxSkew"),
        ([{**EVEN, "maxSkew": 0}], "0.maxSkew"),
        ([{**EVEN, "topologyKey": ""}], "0.topologyKey"),
        ([{**EVEN, "whenUnsatisfiable": "Maybe"}], "0.whenUnsatisfiable"),
        ([{**EVEN, "minDomains": 0}], "0.minDomains"),
        ([{**EVEN, "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}], "0.minDomains"),
        ([{**EVEN, "nodeAffinityPolicy": "Always"}], "0.nodeAffinityPolicy"),
        ([{**EVEN, "labelSelector": {"matchLabels": {"a": "b c"}}}], "0.labelSelector.matchLabels.a"),
        ([{**EVEN, "matchLabelKeys": ["a"]}], "0.matchLabelKeys"),
        ([EVEN, {**EVEN, "maxSkew": 2}], "1"),
        (1, ""),
    ],
)
def test_a_spread_that_is_none_is_told_where_it_is(constraints: Any, path: str) -> None:
    assert wrong(topology_spread_constraints=constraints) == [
        f"spec.topologySpreadConstraints.{path}".rstrip(".")
    ]


@pytest.mark.parametrize(
    ("gates", "path"),
    [
        (["x"], "0"),
        ([None], "0"),
        (5, ""),
        ([{}], "0.conditionType"),
        ([{"conditionType": ["x"]}], "0.conditionType"),
        ([{"conditionType": "a b"}], "0.conditionType"),
    ],
)
def test_a_gate_that_is_none_is_told_where_it_is(gates: Any, path: str) -> None:
    assert wrong(readiness_gates=gates) == [f"spec.readinessGates.{path}".rstrip(".")]
