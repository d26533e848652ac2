from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources import load
from tsujiban.resources.findings import errors

V3 = "projectcalico.org/v3"
HOSTS = "spec.controllers.node.hostEndpoint"


def read(**spec: Any) -> load.Loaded:
    meta = {"name": "default"}
    head = {"apiVersion": V3, "kind": "KubeControllersConfiguration", "metadata": meta}
    return load.check({**head, "spec": spec})


def told(found: load.Loaded) -> list[tuple[str, str]]:
    return [(f.field, f.code) for f in found.findings]


def node(**config: Any) -> dict[str, Any]:
    return {"node": config}


def test_what_is_read_has_no_warning() -> None:
    hosts = {"autoCreate": "Enabled", "createDefaultHostEndpoint": "Enabled", "templates": []}
    assert told(read(controllers=node(hostEndpoint=hosts))) == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"healthChecks": "Enabled"}, "spec.healthChecks"),
        ({"logSeverityScreen": "Panic"}, "spec.logSeverityScreen"),
        ({"prometheusMetricsPort": 0}, "spec.prometheusMetricsPort"),
        ({"etcdV3CompactionPeriod": "10m"}, "spec.etcdV3CompactionPeriod"),
        ({"controllers": node(syncLabels="Disabled")}, "spec.controllers.node.syncLabels"),
        ({"controllers": node(leakGracePeriod="15m0s")}, "spec.controllers.node.leakGracePeriod"),
        ({"controllers": {"policy": {"reconcilerPeriod": "5m"}}}, "spec.controllers.policy"),
        ({"controllers": {"loadBalancer": {"assignIPs": "AllServices"}}}, "spec.controllers.loadBalancer"),
    ],
)
def test_what_calico_takes_is_taken_and_told_of(spec: dict[str, Any], field: str) -> None:
    found = read(**spec)
    assert told(found) == [(field, "not-implemented")]
    assert len(found.objects) == 1


@pytest.mark.parametrize(
    ("spec", "field", "code"),
    [
        ({"healthChecks": "yes"}, "spec.healthChecks", "bad-value"),
        ({"logSeverityScreen": "Trace"}, "spec.logSeverityScreen", "bad-value"),
        ({"prometheusMetricsPort": 70000}, "spec.prometheusMetricsPort", "bad-port"),
        ({"etcdV3CompactionPeriod": "soon"}, "spec.etcdV3CompactionPeriod", "bad-value"),
        ({"controllers": node(syncLabels="no")}, "spec.controllers.node.syncLabels", "bad-value"),
        (
            {"controllers": {"policy": {"reconcilerPeriod": "x"}}},
            "spec.controllers.policy.reconcilerPeriod",
            "bad-value",
        ),
        ({"controllers": {"polic": {}}}, "spec.controllers.polic", "unknown-field"),
        ({"controllers": node(hostEndpoint={"autoCreate": "x"})}, f"{HOSTS}.autoCreate", "bad-value"),
    ],
)
def test_what_calico_refuses_is_refused(spec: dict[str, Any], field: str, code: str) -> None:
    found = read(**spec)
    assert [(f.field, f.code) for f in errors(found.findings)] == [(field, code)]
    assert not found.objects


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"createDefaultHostEndpoint": "Disabled"}, "createDefaultHostEndpoint"),
        ({"templates": [{"generateName": "x", "interfaceCIDRs": ["192.0.2.0/24"]}]}, "templates"),
    ],
)
def test_other_host_endpoints_than_ours_are_refused(config: dict[str, Any], field: str) -> None:
    found = read(controllers=node(hostEndpoint={"autoCreate": "Enabled", **config}))
    assert told(found) == [(f"{HOSTS}.{field}", "unsupported")]
    assert not found.objects
