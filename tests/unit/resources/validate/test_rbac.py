"""Roles and bindings."""

from __future__ import annotations

from typing import Any

import pytest

V1 = "rbac.authorization.k8s.io/v1"
GOOD = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}


@pytest.mark.parametrize(
    ("rule", "field", "code"),
    [
        ({**GOOD, "verbs": []}, "verbs", "missing-field"),
        ({**GOOD, "apiGroups": []}, "apiGroups", "missing-field"),
        ({**GOOD, "resources": []}, "resources", "missing-field"),
        ({**GOOD, "nonResourceURLs": ["/x"]}, "nonResourceURLs", "conflict"),
        ({"verbs": ["get"], "nonResourceURLs": ["x"]}, "nonResourceURLs[0]", "bad-value"),
        ({"verbs": ["get"], "nonResourceURLs": ["/a*b"]}, "nonResourceURLs[0]", "bad-value"),
    ],
)
def test_rule(judge: Any, rule: dict[str, Any], field: str, code: str) -> None:
    assert judge(V1, "ClusterRole", rules=[rule]) == {(f"rules[0].{field}", code)}


def test_good_roles(judge: Any) -> None:
    urls = {"verbs": ["get"], "nonResourceURLs": ["/x/*", "*", "/y"]}
    assert judge(V1, "Role", rules=[GOOD]) == set()
    assert judge(V1, "ClusterRole", "system:x", rules=[GOOD, urls]) == set()
    assert judge(V1, "Role", rules=[urls]) == {("rules[0].nonResourceURLs", "conflict")}
    assert judge(V1, "Role", "a/b") == {("metadata.name", "bad-name")}


def test_aggregation(judge: Any) -> None:
    path = "aggregationRule.clusterRoleSelectors"
    good = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    bad = {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]}
    assert judge(V1, "ClusterRole", aggregationRule=good) == set()
    assert judge(V1, "ClusterRole", aggregationRule={}) == {(path, "missing-field")}
    assert judge(V1, "ClusterRole", aggregationRule=bad) == {
        (f"{path}[0].matchExpressions[0].operator", "bad-value")
    }


@pytest.mark.parametrize(
    ("role", "field", "code"),
    [
        ({**ROLE, "kind": "Pod"}, "roleRef.kind", "bad-value"),
        ({**ROLE, "kind": "Role"}, "roleRef.kind", "bad-value"),
        ({**ROLE, "kind": "ClusterRole", "apiGroup": "v1"}, "roleRef.apiGroup", "bad-value"),
        ({"kind": "ClusterRole"}, "roleRef.name", "missing-field"),
        ({"kind": "ClusterRole", "name": "a/b"}, "roleRef.name", "bad-name"),
    ],
)
def test_role_of_a_cluster_binding(judge: Any, role: dict[str, str], field: str, code: str) -> None:
    assert judge(V1, "ClusterRoleBinding", roleRef=role) == {(field, code)}


@pytest.mark.parametrize(
    ("subject", "field", "code"),
    [
        ({"kind": "User"}, "name", "missing-field"),
        ({"kind": "Robot", "name": "a"}, "kind", "bad-value"),
        ({"kind": "user", "name": "a"}, "kind", "bad-value"),
        ({"kind": "User", "name": "a", "namespace": "n"}, "namespace", "conflict"),
        ({"kind": "Group", "name": "a", "apiGroup": "v1"}, "apiGroup", "bad-value"),
        ({"kind": "ServiceAccount", "name": "a"}, "namespace", "missing-field"),
        ({"kind": "ServiceAccount", "name": "a", "namespace": "A"}, "namespace", "bad-name"),
        ({"kind": "ServiceAccount", "name": "a:b", "namespace": "n"}, "name", "bad-name"),
        (
            {
                "kind": "ServiceAccount",
                "name": "a",
                "namespace": "n",
                "apiGroup": "rbac.authorization.k8s.io",
            },
            "apiGroup",
            "bad-value",
        ),
    ],
)
def test_subject(judge: Any, subject: dict[str, str], field: str, code: str) -> None:
    assert judge(V1, "RoleBinding", roleRef=ROLE, subjects=[subject]) == {(f"subjects[0].{field}", code)}


def test_good_bindings(judge: Any) -> None:
    subjects = [
        {"kind": "User", "name": "a"},
        {"kind": "Group", "name": "system:masters", "apiGroup": "rbac.authorization.k8s.io"},
        {"kind": "ServiceAccount", "name": "a", "namespace": "n"},
    ]
    assert judge(V1, "RoleBinding", roleRef=ROLE, subjects=subjects) == set()
    assert judge(V1, "RoleBinding", roleRef={**ROLE, "kind": "ClusterRole"}) == set()
