"""Pods, what makes them, and services."""

from __future__ import annotations

from typing import Any

import pytest

POD = {"containers": [{"name": "a", "image": "host"}]}
LABELS = {"matchLabels": {"app": "x"}}
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": POD}


def ending(seconds: int) -> dict[str, Any]:
    return {"tcpSocket": {"port": 80}, "terminationGracePeriodSeconds": seconds}


@pytest.mark.parametrize(
    ("container", "field", "code"),
    [
        ({"name": ""}, ".name", "missing-field"),
        ({"name": "A"}, ".name", "bad-name"),
        ({"imagePullPolicy": "always"}, ".imagePullPolicy", "bad-value"),
        ({"terminationMessagePolicy": "Log"}, ".terminationMessagePolicy", "bad-value"),
        ({"ports": [{"name": "http"}]}, ".ports[0].containerPort", "bad-port"),
        ({"ports": [{"containerPort": 1, "protocol": "tcp"}]}, ".ports[0].protocol", "bad-value"),
        ({"ports": [{"containerPort": 1, "hostPort": 65536}]}, ".ports[0].hostPort", "bad-port"),
        ({"ports": [{"containerPort": 1, "hostIP": "x"}]}, ".ports[0].hostIP", "bad-address"),
        ({"ports": [{"containerPort": 1, "name": "A"}]}, ".ports[0].name", "odd-port-name"),
        (
            {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
            ".ports[1].name",
            "same-port-name",
        ),
        ({"env": [{"name": "A=B"}]}, ".env[0].name", "bad-name"),
        (
            {"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            ".env[0].valueFrom",
            "conflict",
        ),
        ({"readinessProbe": {}}, ".readinessProbe", "conflict"),
        ({"readinessProbe": {"httpGet": {"port": 0}}}, ".readinessProbe.httpGet.port", "bad-port"),
        ({"readinessProbe": {"grpc": {"port": 0}}}, ".readinessProbe.grpc.port", "bad-port"),
        (
            {"livenessProbe": {"httpGet": {"port": 80, "scheme": "FTP"}}},
            ".livenessProbe.httpGet.scheme",
            "bad-value",
        ),
        ({"livenessProbe": ending(0)}, ".livenessProbe.terminationGracePeriodSeconds", "out-of-range"),
        ({"readinessProbe": ending(5)}, ".readinessProbe.terminationGracePeriodSeconds", "conflict"),
        ({"livenessProbe": {"tcpSocket": {"port": "A"}}}, ".livenessProbe.tcpSocket.port", "odd-port-name"),
    ],
)
def test_container(judge: Any, container: dict[str, Any], field: str, code: str) -> None:
    spec = {"containers": [{"name": "a", "image": "host", **container}]}
    assert judge("v1", "Pod", spec=spec) == {(f"spec.containers[0]{field}", code)}


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"containers": []}, "containers", "missing-field"),
        ({"initContainers": POD["containers"]}, "initContainers[0].name", "duplicate"),
        ({"serviceAccountName": "A"}, "serviceAccountName", "bad-name"),
        ({"hostname": "a.b"}, "hostname", "bad-name"),
        ({"restartPolicy": "always"}, "restartPolicy", "bad-value"),
        ({"nodeSelector": {"a": "$"}}, "nodeSelector.a", "bad-label"),
        ({"terminationGracePeriodSeconds": -1}, "terminationGracePeriodSeconds", "out-of-range"),
        ({"terminationGracePeriodSeconds": 2**31}, "terminationGracePeriodSeconds", "out-of-range"),
    ],
)
def test_pod(judge: Any, fields: dict[str, Any], field: str, code: str) -> None:
    assert judge("v1", "Pod", spec={**POD, **fields}) == {(f"spec.{field}", code)}


def test_addresses_of_a_pod(judge: Any) -> None:
    status = {"podIP": "x", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "y"}]}
    assert judge("v1", "Pod", spec=POD, status=status) == {
        ("status.podIP", "bad-address"),
        ("status.podIPs[1].ip", "bad-address"),
    }


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"])
def test_workload(judge: Any, kind: str) -> None:
    assert judge("apps/v1", kind, spec={"selector": LABELS, "template": TEMPLATE}) == set()
    assert judge("apps/v1", kind, spec={"template": TEMPLATE}) == {("spec.selector", "missing-field")}
    other = {"selector": {"matchLabels": {"app": "y"}}, "template": TEMPLATE}
    assert judge("apps/v1", kind, spec=other) == {("spec.template.metadata.labels", "conflict")}


def test_replicas(judge: Any) -> None:
    for field in ("replicas", "minReadySeconds"):
        for number in (-1, 2**31):
            spec = {"selector": LABELS, "template": TEMPLATE, field: number}
            assert judge("apps/v1", "Deployment", spec=spec) == {(f"spec.{field}", "out-of-range")}


@pytest.mark.parametrize(
    ("strategy", "field", "code"),
    [
        ({"type": "Recreate"}, "type", "bad-value"),
        ({"rollingUpdate": {"maxUnavailable": "x"}}, "rollingUpdate.maxUnavailable", "bad-value"),
        ({"rollingUpdate": {"maxUnavailable": 0}}, "rollingUpdate.maxUnavailable", "conflict"),
        ({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}, "rollingUpdate.maxSurge", "conflict"),
    ],
)
def test_daemon_set(judge: Any, strategy: dict[str, Any], field: str, code: str) -> None:
    spec = {"selector": LABELS, "template": TEMPLATE, "updateStrategy": strategy}
    assert judge("apps/v1", "DaemonSet", spec=spec) == {(f"spec.updateStrategy.{field}", code)}


def test_daemon_set_may_surge_instead(judge: Any) -> None:
    rolling = {"maxUnavailable": 0, "maxSurge": "10%"}
    spec = {"selector": LABELS, "template": TEMPLATE, "updateStrategy": {"rollingUpdate": rolling}}
    assert judge("apps/v1", "DaemonSet", spec=spec) == set()


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"podManagementPolicy": "Ordered"}, "podManagementPolicy", "bad-value"),
        ({"serviceName": "A"}, "serviceName", "bad-name"),
        ({"ordinals": {"start": -1}}, "ordinals.start", "out-of-range"),
        ({"updateStrategy": {"type": "Recreate"}}, "updateStrategy.type", "bad-value"),
        (
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}},
            "updateStrategy.rollingUpdate",
            "conflict",
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"partition": -1}}},
            "updateStrategy.rollingUpdate.partition",
            "out-of-range",
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}},
            "updateStrategy.rollingUpdate.maxUnavailable",
            "out-of-range",
        ),
    ],
)
def test_stateful_set(judge: Any, fields: dict[str, Any], field: str, code: str) -> None:
    spec = {"selector": LABELS, "template": TEMPLATE, **fields}
    assert judge("apps/v1", "StatefulSet", spec=spec) == {(f"spec.{field}", code)}


def test_controller_revision(judge: Any) -> None:
    assert judge("apps/v1", "ControllerRevision", revision=-1) == {
        ("data", "missing-field"),
        ("revision", "out-of-range"),
    }
    assert judge("apps/v1", "ControllerRevision", data={"spec": {}}, revision=1) == set()


def test_replication_controller(judge: Any) -> None:
    assert judge("v1", "ReplicationController", spec={}) == {("spec.template", "missing-field")}
    assert judge("v1", "ReplicationController", spec={"template": TEMPLATE}) == set()


@pytest.mark.parametrize(
    ("subset", "field", "code"),
    [
        ({}, "subsets[0]", "missing-field"),
        ({"addresses": [{"ip": "web"}]}, "subsets[0].addresses[0].ip", "bad-address"),
        ({"addresses": [{"ip": "127.0.0.1"}]}, "subsets[0].addresses[0].ip", "bad-address"),
        ({"notReadyAddresses": [{"ip": "fe80::1"}]}, "subsets[0].notReadyAddresses[0].ip", "bad-address"),
        ({"addresses": [{"ip": "10.0.0.1"}], "ports": [{}]}, "subsets[0].ports[0].port", "bad-port"),
        (
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1, "name": "A b"}]},
            "subsets[0].ports[0].name",
            "bad-port",
        ),
        (
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1, "name": "a"}, {"port": 2}]},
            "subsets[0].ports[1].name",
            "missing-field",
        ),
    ],
)
def test_endpoints(judge: Any, subset: dict[str, Any], field: str, code: str) -> None:
    assert judge("v1", "Endpoints", subsets=[subset]) == {(field, code)}


@pytest.mark.parametrize(
    ("spec", "field", "code"),
    [
        ({}, "ports", "missing-field"),
        ({"ports": [{"port": 80}], "type": "x"}, "type", "bad-value"),
        ({"type": "ExternalName"}, "externalName", "missing-field"),
        ({"ports": [{"port": 0}]}, "ports[0].port", "bad-port"),
        ({"ports": [{"port": 1, "targetPort": "A"}]}, "ports[0].targetPort", "odd-port-name"),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 2}]}, "ports[1].name", "missing-field"),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]}, "ports[1].name", "duplicate"),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]}, "ports[1].port", "duplicate"),
        ({"ports": [{"port": 1}], "clusterIP": "none"}, "clusterIP", "bad-address"),
        (
            {"ports": [{"port": 1}], "loadBalancerSourceRanges": ["10.0.0.1"]},
            "loadBalancerSourceRanges[0]",
            "bad-cidr",
        ),
        ({"ports": [{"port": 1}], "selector": {"a": "$"}}, "selector.a", "bad-label"),
    ],
)
def test_service(judge: Any, spec: dict[str, Any], field: str, code: str) -> None:
    assert judge("v1", "Service", spec=spec) == {(f"spec.{field}", code)}


def test_endpoint_slice(judge: Any) -> None:
    told = judge(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        addressType="IPv4",
        endpoints=[{"addresses": ["10.0.0.1"]}, {"addresses": []}, {"addresses": ["x"]}],
        ports=[{"port": 0, "protocol": "x"}],
    )
    assert told == {
        ("endpoints[1].addresses", "missing-field"),
        ("endpoints[2].addresses[0]", "bad-address"),
        ("ports[0].port", "bad-port"),
        ("ports[0].protocol", "bad-value"),
    }


def test_a_slice_is_not_endless(judge: Any) -> None:
    def told(endpoints: int, ports: int) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = judge(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            addressType="IPv4",
            endpoints=[{"addresses": ["10.0.0.1"]}] * endpoints,
            ports=[{"port": 80}] * ports,
        )
        return found

    assert told(1000, 100) == set()
    assert told(1001, 101) == {("endpoints", "too-many"), ("ports", "too-many")}


def test_node(judge: Any) -> None:
    status = {"addresses": [{"type": "Hostname", "address": "a"}, {"type": "InternalIP", "address": "x"}]}
    assert judge("v1", "Node", spec={"podCIDRs": ["x"]}, status=status) == {
        ("spec.podCIDRs[0]", "bad-cidr"),
        ("status.addresses[1].address", "bad-address"),
    }


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        ({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}}, set()),
        ({"type": "Recreate"}, set()),
        ("x", {("spec.strategy", "wrong-type")}),
        ({"type": "Slowly"}, {("spec.strategy.type", "bad-value")}),
        ({"type": "Recreate", "rollingUpdate": {}}, {("spec.strategy.rollingUpdate", "conflict")}),
        ({"rollingUpdate": {"maxSurge": "x"}}, {("spec.strategy.rollingUpdate.maxSurge", "bad-value")}),
        ({"rollingUpdate": {"maxSurge": -1}}, {("spec.strategy.rollingUpdate.maxSurge", "out-of-range")}),
        (
            {"rollingUpdate": {"maxUnavailable": "101%"}},
            {("spec.strategy.rollingUpdate.maxUnavailable", "out-of-range")},
        ),
        (
            {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}},
            {("spec.strategy.rollingUpdate.maxUnavailable", "conflict")},
        ),
    ],
)
def test_how_a_deployment_replaces_pods(judge: Any, strategy: Any, told: set[tuple[str, str]]) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template, "strategy": strategy}
    assert judge("apps/v1", "Deployment", spec=spec) == told


@pytest.mark.parametrize("conditions", ["x", [1], [{"type": "Ready"}], {"type": "Ready"}])
@pytest.mark.parametrize(("kind", "fields"), [("Pod", {"spec": POD}), ("Node", {})])
def test_conditions_are_what_is_read_as_such(
    judge: Any, kind: str, fields: dict[str, Any], conditions: Any
) -> None:
    good = [{"type": "Ready", "status": "True", "observedGeneration": 3}]
    assert judge("v1", kind, status={"conditions": good}, **fields) == set()
    assert {code for _, code in judge("v1", kind, status={"conditions": conditions}, **fields)} == {
        "wrong-type"
    }
