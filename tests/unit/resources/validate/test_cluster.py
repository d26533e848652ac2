"""ClusterNetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy."""

from __future__ import annotations

from typing import Any

import pytest

V1, V2 = "policy.networking.k8s.io/v1alpha1", "policy.networking.k8s.io/v1alpha2"
ALL: dict[str, Any] = {"namespaces": {}}
PORT = {"destinationPort": {"number": 80}}


def cluster(**rule: Any) -> dict[str, Any]:
    whole = {"action": "Accept", "to": [ALL], **rule}
    return {"tier": "Admin", "priority": 1, "subject": ALL, "egress": [whole]}


def admin(**rule: Any) -> dict[str, Any]:
    return {"priority": 1, "subject": ALL, "egress": [{"action": "Allow", "to": [ALL], **rule}]}


def test_what_is_required(judge: Any) -> None:
    assert judge(V2, "ClusterNetworkPolicy") == {
        ("spec.tier", "missing-field"),
        ("spec.priority", "missing-field"),
        ("spec.subject", "missing-field"),
    }


@pytest.mark.parametrize(
    ("rule", "field", "code"),
    [
        ({"action": "Allow"}, ".action", "bad-value"),
        ({"name": "x" * 101}, ".name", "bad-name"),
        ({"to": []}, ".to", "missing-field"),
        ({"to": [ALL] * 26}, ".to", "too-many"),
        ({"to": [{}]}, ".to[0]", "missing-field"),
        ({"to": [{"namespaces": {}, "nodes": {}}]}, ".to[0]", "conflict"),
        ({"to": [{"pods": {"namespaceSelector": {}}}]}, ".to[0].pods.podSelector", "selector-omitted"),
        ({"protocols": [{"tcp": {}}]}, ".protocols[0].tcp.destinationPort", "missing-field"),
        ({"to": [{"nodes": {}}], "protocols": [{"destinationNamedPort": "a"}]}, ".to", "no-named-ports"),
        ({"to": [{"networks": []}]}, ".to[0].networks", "missing-field"),
        ({"to": [{"networks": ["10.0.0.1"]}]}, ".to[0].networks[0]", "bad-cidr"),
        ({"to": [{"networks": ["::/0", "::/0"]}]}, ".to[0].networks[1]", "duplicate"),
        ({"to": [{"domainNames": ["a.example"]}]}, ".to[0].domainNames", "domain-names"),
        ({"action": "Deny", "to": [{"domainNames": ["a.b"]}]}, ".to[0].domainNames", "unsupported"),
        ({"protocols": []}, ".protocols", "missing-field"),
        ({"protocols": [{}]}, ".protocols[0]", "missing-field"),
        ({"protocols": [{"tcp": PORT, "udp": PORT}]}, ".protocols[0]", "conflict"),
        (
            {"protocols": [{"tcp": {"destinationPort": {"number": 0}}}]},
            ".protocols[0].tcp.destinationPort.number",
            "bad-port",
        ),
        (
            {"protocols": [{"sctp": {"destinationPort": {"range": {"start": 5, "end": 5}}}}]},
            ".protocols[0].sctp.destinationPort.range.end",
            "bad-port",
        ),
        ({"protocols": [{"destinationNamedPort": "+"}]}, ".protocols[0].destinationNamedPort", "bad-port"),
    ],
)
def test_cluster_rules(judge: Any, rule: dict[str, Any], field: str, code: str) -> None:
    assert judge(V2, "ClusterNetworkPolicy", spec=cluster()) == set()
    assert judge(V2, "ClusterNetworkPolicy", spec=cluster(**rule)) == {(f"spec.egress[0]{field}", code)}


@pytest.mark.parametrize(
    ("rule", "field", "code"),
    [
        ({"action": "Accept"}, ".action", "bad-value"),
        ({"ports": [{}]}, ".ports[0]", "missing-field"),
        ({"ports": [{"namedPort": "a"}], "to": [{"networks": ["10.0.0.0/8"]}]}, ".to", "no-named-ports"),
        ({"ports": [{"namedPort": "a", "portNumber": {"port": 1}}]}, ".ports[0]", "conflict"),
        (
            {"ports": [{"portNumber": {"protocol": "ICMP", "port": 1}}]},
            ".ports[0].portNumber.protocol",
            "bad-value",
        ),
        ({"ports": [{"portNumber": {}}]}, ".ports[0].portNumber.port", "missing-field"),
        ({"ports": [{"portRange": {"start": 3}}]}, ".ports[0].portRange.end", "missing-field"),
        ({"ports": [{"portRange": {"start": 3, "end": 2}}]}, ".ports[0].portRange.end", "bad-port"),
    ],
)
def test_admin_rules(judge: Any, rule: dict[str, Any], field: str, code: str) -> None:
    assert judge(V1, "AdminNetworkPolicy", spec=admin()) == set()
    assert judge(V1, "AdminNetworkPolicy", spec=admin(**rule)) == {(f"spec.egress[0]{field}", code)}


def test_priority(judge: Any) -> None:
    assert judge(V1, "AdminNetworkPolicy", spec={**admin(), "priority": 1001}) == {
        ("spec.priority", "out-of-range")
    }


def test_the_baseline_is_called_default_and_passes_nothing(judge: Any) -> None:
    spec = {"subject": ALL, "ingress": [{"action": "Pass", "from": [ALL]}]}
    assert judge(V1, "BaselineAdminNetworkPolicy", spec=spec) == {
        ("metadata.name", "bad-name"),
        ("spec.ingress[0].action", "bad-value"),
    }
