"""NetworkPolicy."""

from __future__ import annotations

from typing import Any

import pytest

K8S = "networking.k8s.io/v1"


def rule(**fields: Any) -> dict[str, Any]:
    return {"podSelector": {}, "ingress": [fields]}


GOOD = {
    "podSelector": {},
    "policyTypes": ["Ingress", "Egress"],
    "ingress": [
        {},
        {
            "from": [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
            "ports": [{}, {"port": 80, "endPort": 90}, {"port": "http", "protocol": "SCTP"}],
        },
    ],
    "egress": [{"to": [{"namespaceSelector": {}}]}],
}


def test_what_is_right(judge: Any) -> None:
    assert judge(K8S, "NetworkPolicy", spec=GOOD) == set()


def test_spec_is_required(judge: Any) -> None:
    assert judge(K8S, "NetworkPolicy") == {("spec", "missing-field")}


@pytest.mark.parametrize(
    ("spec", "field", "code"),
    [
        (rule(**{"from": [{}]}), "from[0]", "missing-field"),
        (rule(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}), "from[0]", "conflict"),
        (rule(**{"from": [{"ipBlock": {"cidr": "10.0.0.1"}}]}), "from[0].ipBlock.cidr", "bad-cidr"),
        (
            rule(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}),
            "from[0].ipBlock.except[0]",
            "bad-cidr",
        ),
        (
            rule(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}),
            "from[0].ipBlock.except[0]",
            "bad-cidr",
        ),
        (
            rule(**{"from": [{"ipBlock": {"cidr": "::/0", "except": ["10.0.0.0/8"]}}]}),
            "from[0].ipBlock.except[0]",
            "bad-cidr",
        ),
        (rule(ports=[{"port": 0}]), "ports[0].port", "bad-port"),
        (rule(ports=[{"port": "80"}]), "ports[0].port", "bad-port"),
        (rule(ports=[{"port": 80, "protocol": "tcp"}]), "ports[0].protocol", "bad-value"),
        (rule(ports=[{"port": 80, "endPort": 79}]), "ports[0].endPort", "bad-port"),
        (rule(ports=[{"port": "http", "endPort": 79}]), "ports[0].endPort", "conflict"),
        (rule(ports=[{"endPort": 79}]), "ports[0].endPort", "conflict"),
    ],
)
def test_rules(judge: Any, spec: dict[str, Any], field: str, code: str) -> None:
    assert judge(K8S, "NetworkPolicy", spec=spec) == {(f"spec.ingress[0].{field}", code)}


def test_a_type_may_stand_twice_as_in_kubernetes(judge: Any) -> None:
    spec = {"podSelector": {}, "policyTypes": ["Egress", "Egress"]}
    assert judge(K8S, "NetworkPolicy", spec=spec) == set()


def test_types(judge: Any) -> None:
    spec = {"podSelector": {}, "policyTypes": ["Egress", "ingress", "Egress"], "ingress": [{}]}
    assert judge(K8S, "NetworkPolicy", spec=spec) == {
        ("spec.policyTypes[1]", "bad-value"),
        ("spec.policyTypes", "too-many"),
        ("spec.ingress", "ignored-rules"),
    }
