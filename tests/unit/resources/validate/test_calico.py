"""Calico kinds: what the conformance cases leave out."""

from __future__ import annotations

from typing import Any

import pytest

V3 = "projectcalico.org/v3"


@pytest.mark.parametrize("version", [V3, "crd.projectcalico.org/v1"])
def test_the_stored_form_is_judged_alike(judge: Any, version: str) -> None:
    assert judge(version, "NetworkPolicy", spec={"types": ["ingress"]}) == {("spec.types[0]", "bad-value")}


def test_staged_kubernetes_policy(judge: Any) -> None:
    spec = {"stagedAction": "Delete", "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 0}]}]}
    assert judge(V3, "StagedKubernetesNetworkPolicy", spec=spec) == {
        ("spec.policyTypes", "conflict"),
        ("spec.ingress", "conflict"),
        ("spec.ingress[0].ports[0].port", "bad-port"),
    }


def test_a_tier_name_in_a_policy(judge: Any) -> None:
    assert judge(V3, "NetworkPolicy", spec={"tier": "A b"}) == {("spec.tier", "bad-name")}


def test_tier(judge: Any) -> None:
    assert judge(V3, "Tier", "default") == {("spec.order", "built-in")}
    assert judge(V3, "Tier", "default", spec={"order": 1_000_000}) == set()
    assert judge(V3, "Tier", spec={"defaultAction": "Allow"}) == {("spec.defaultAction", "bad-value")}


def test_rules_without_their_type_are_told_of(judge: Any) -> None:
    spec = {"types": ["Ingress"], "egress": [{"action": "Allow"}]}
    assert judge(V3, "NetworkPolicy", spec=spec) == {("spec.egress", "ignored-rules")}


def test_host_endpoint(judge: Any) -> None:
    spec = {
        "node": "N",
        "interfaceName": "e th",
        "expectedIPs": ["10.0.0.1/8"],
        "ports": [{"name": "a b", "protocol": "x", "port": 0}],
    }
    assert judge(V3, "HostEndpoint", spec=spec) == {
        ("spec.node", "bad-name"),
        ("spec.interfaceName", "bad-name"),
        ("spec.expectedIPs[0]", "bad-address"),
        ("spec.ports[0].name", "bad-port"),
        ("spec.ports[0].protocol", "bad-value"),
        ("spec.ports[0].port", "bad-port"),
    }


def test_workload_endpoint(judge: Any) -> None:
    good = {
        "interfaceName": "eth0",
        "ipNetworks": ["10.0.0.1", "fd00::1/128"],
        "profiles": ["kns.a"],
        "ports": [{"protocol": "TCP", "port": 80, "hostPort": 80}],
    }
    assert judge(V3, "WorkloadEndpoint", spec=good) == set()
    bad = {
        "interfaceName": "x" * 16,
        "ipNetworks": ["10.0.0.0/24"],
        "ipNATs": [{"internalIP": "x", "externalIP": "10.0.0.1"}],
        "ipv4Gateway": "x",
        "mac": "x",
        "serviceAccountName": "A",
        "profiles": ["A"],
        "containerID": "-a",
        "ports": [{"name": "a", "protocol": "ICMP", "port": 1, "hostIP": "x"}],
        "allowSpoofedSourcePrefixes": ["x"],
    }
    assert judge(V3, "WorkloadEndpoint", spec=bad) == {
        ("spec.interfaceName", "bad-name"),
        ("spec.ipNetworks[0]", "bad-cidr"),
        ("spec.ipNATs[0].internalIP", "bad-address"),
        ("spec.ipv4Gateway", "bad-address"),
        ("spec.mac", "bad-address"),
        ("spec.serviceAccountName", "bad-name"),
        ("spec.profiles[0]", "bad-name"),
        ("spec.containerID", "bad-name"),
        ("spec.ports[0].protocol", "conflict"),
        ("spec.ports[0].hostIP", "bad-address"),
        ("spec.allowSpoofedSourcePrefixes[0]", "bad-cidr"),
    }


@pytest.mark.parametrize(
    ("inside", "outside", "told"),
    [
        ("10.0.0.1", "192.0.2.1", set()),
        ("fd00::1", "2001:db8::1", set()),
        ("10.0.0.1", "2001:db8::1", {("spec.ipNATs[0].externalIP", "conflict")}),
        ("10.0.0.2", "192.0.2.1", {("spec.ipNATs[0].internalIP", "conflict")}),
    ],
)
def test_a_floating_address_is_for_one_of_the_endpoint(
    judge: Any, inside: str, outside: str, told: set[tuple[str, str]]
) -> None:
    nats = [{"internalIP": inside, "externalIP": outside}]
    spec = {"interfaceName": "eth0", "ipNetworks": ["10.0.0.1/32", "fd00::1"], "ipNATs": nats}
    assert judge(V3, "WorkloadEndpoint", spec=spec) == told


def test_a_workload_endpoint_has_an_interface(judge: Any) -> None:
    assert judge(V3, "WorkloadEndpoint", spec={}) == {("spec.interfaceName", "missing-field")}


FOR_BALANCERS = {"cidr": "10.0.0.0/16", "allowedUses": ["LoadBalancer"]}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"cidr": "10.0.0.0/16"}, set()),
        ({"cidr": "10.0.0.0/28", "disabled": True}, set()),
        ({"cidr": "10.0.0.1/16"}, {("spec.cidr", "bad-cidr"), ("spec.cidr", "host-bits")}),
        ({"cidr": "169.254.0.0/15"}, {("spec.cidr", "bad-cidr")}),
        ({"cidr": "fe00::/8"}, {("spec.cidr", "bad-cidr")}),
        ({"cidr": "fd00::/48", "ipipMode": "CrossSubnet"}, {("spec.ipipMode", "conflict")}),
        (
            {"cidr": "10.0.0.0/16", "allowedUses": ["Tunnel"], "namespaceSelector": "has(a)"},
            {("spec.namespaceSelector", "conflict")},
        ),
        (FOR_BALANCERS | {"nodeSelector": "all()", "namespaceSelector": "has(a)"}, set()),
        (FOR_BALANCERS | {"nodeSelector": "has(a)"}, {("spec.nodeSelector", "conflict")}),
        (FOR_BALANCERS | {"vxlanMode": "Always"}, {("spec.vxlanMode", "conflict")}),
        (FOR_BALANCERS | {"disableBGPExport": True}, {("spec.disableBGPExport", "conflict")}),
        ({"cidr": "fd00::/48", "blockSize": 120}, set()),
        ({}, {("spec.cidr", "missing-field")}),
        ({"cidr": "10.0.0.1"}, {("spec.cidr", "bad-cidr")}),
        ({"cidr": "10.0.0.0/28"}, {("spec.cidr", "bad-cidr")}),
        ({"cidr": "224.0.0.0/8"}, {("spec.cidr", "bad-cidr")}),
        ({"cidr": "10.0.0.0/16", "blockSize": 19}, {("spec.blockSize", "out-of-range")}),
        (
            {"cidr": "10.0.0.0/16", "ipipMode": "Always", "vxlanMode": "Always"},
            {("spec.vxlanMode", "conflict")},
        ),
        ({"cidr": "10.0.0.0/16", "ipipMode": "always"}, {("spec.ipipMode", "bad-value")}),
        ({"cidr": "10.0.0.0/16", "allowedUses": ["x"]}, {("spec.allowedUses[0]", "bad-value")}),
        (
            {"cidr": "10.0.0.0/16", "allowedUses": ["LoadBalancer", "Tunnel"]},
            {("spec.allowedUses", "conflict")},
        ),
        ({"cidr": "10.0.0.0/16", "assignmentMode": "x"}, {("spec.assignmentMode", "bad-value")}),
        ({"cidr": "10.0.0.0/16", "nodeSelector": "x"}, {("spec.nodeSelector", "bad-selector")}),
    ],
)
def test_pool(judge: Any, spec: dict[str, Any], told: set[tuple[str, str]]) -> None:
    assert judge(V3, "IPPool", spec=spec) == told


def test_felix_configuration(judge: Any) -> None:
    ports = [{"protocol": "TCP", "port": 22, "net": "192.0.2.0/24"}, {"protocol": "UDP", "port": 53}]
    good = {"failsafeInboundHostPorts": ports, "nftablesFilterDenyAction": "Reject"}
    assert judge(V3, "FelixConfiguration", "default", spec=good) == set()
    assert judge(V3, "FelixConfiguration", "node.n1", spec=good) == set()
    assert judge(V3, "FelixConfiguration", "n1", spec={}) == {("metadata.name", "bad-name")}
    bad = {
        "failsafeOutboundHostPorts": [{"protocol": "ICMP", "port": 0, "net": "x"}],
        "nftablesFilterDenyAction": "Laugh",
    }
    assert judge(V3, "FelixConfiguration", "default", spec=bad) == {
        ("spec.failsafeOutboundHostPorts[0].protocol", "bad-value"),
        ("spec.failsafeOutboundHostPorts[0].port", "bad-port"),
        ("spec.failsafeOutboundHostPorts[0].net", "bad-cidr"),
        ("spec.nftablesFilterDenyAction", "bad-value"),
    }


def test_controllers_configuration(judge: Any) -> None:
    def spec(word: str) -> dict[str, Any]:
        return {"controllers": {"node": {"hostEndpoint": {"autoCreate": word}}}}

    kind = "KubeControllersConfiguration"
    assert judge(V3, kind, "default", spec=spec("Enabled")) == set()
    path = "spec.controllers.node.hostEndpoint.autoCreate"
    assert judge(V3, kind, "default", spec=spec("yes")) == {(path, "bad-value")}
    assert judge(V3, kind, "other", spec={}) == {("metadata.name", "bad-name")}
