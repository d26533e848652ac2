"""The Service by which pods find the API is there, and stays as it must be."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.reconcile import apiservice
from tsujiban.controller.reconcile.apiservice import SERVICE, SLICE, address_of
from tsujiban.controller.world import NAMESPACES, Ref

ADDRESS = address_of("10.96.0.0/16", ["172.31.255.1:6443", "172.31.255.2:6443"])


@pytest.fixture
def world(kit: Any) -> Any:
    kit.put(Ref(*NAMESPACES, "", "default"), {"metadata": {"name": "default"}})
    return kit


def settle(kit: Any) -> None:
    for _ in range(3):
        kit.carry_out(apiservice.plan(kit.world, ADDRESS))
    assert apiservice.plan(kit.world, ADDRESS) == []


def test_a_service_with_the_first_address_leads_to_every_controller(world: Any) -> None:
    settle(world)
    service, found = world.world.get(SERVICE), world.world.get(SLICE)
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    assert service["spec"]["ports"][0] == {
        "name": "https",
        "port": 443,
        "protocol": "TCP",
        "targetPort": 6443,
    }
    assert [e["addresses"] for e in found["endpoints"]] == [["172.31.255.1"], ["172.31.255.2"]]
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == "kubernetes"


def test_what_somebody_takes_away_or_changes_comes_back(world: Any) -> None:
    settle(world)
    world.world.drop(SLICE)
    settle(world)
    service = world.world.get(SERVICE)
    world.world.put(SERVICE, {**service, "spec": {**service["spec"], "selector": {"app": "thief"}}})
    settle(world)
    assert "selector" not in world.world.get(SERVICE)["spec"]
    found = world.world.get(SLICE)
    world.world.put(SLICE, {**found, "endpoints": [{"addresses": ["10.244.0.9"]}]})
    settle(world)
    assert world.world.get(SLICE)["endpoints"][0]["addresses"] == ["172.31.255.1"]
    service = world.world.get(SERVICE)
    elsewhere = {**service["spec"], "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]}
    world.world.put(SERVICE, {**service, "spec": elsewhere})
    settle(world)
    assert world.world.get(SERVICE)["spec"]["clusterIP"] == "10.96.0.1"


def test_an_address_that_another_service_has_is_not_used_twice(world: Any) -> None:
    other = world.service("first", clusterIP="10.96.0.1")
    assert apiservice.plan(world.world, ADDRESS) == []
    world.world.drop(other)
    settle(world)


def test_without_endpoints_or_namespace_there_is_no_such_service(kit: Any) -> None:
    assert address_of("10.96.0.0/16", []) is None
    assert apiservice.plan(kit.world, ADDRESS) == []
    kit.put(Ref(*NAMESPACES, "", "default"), {"metadata": {"name": "default"}})
    assert apiservice.plan(kit.world, None) == []
    assert len(apiservice.plan(kit.world, ADDRESS)) == 2


@pytest.mark.parametrize(
    ("endpoints", "says"),
    [
        (["172.31.255.1:1", "172.31.255.2:2"], "the same port"),
        (["api.example:443"], "api.example"),
        (["172.31.255.1:https"], "https"),
    ],
)
def test_endpoints_that_cannot_be_are_refused_with_the_reason(endpoints: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        address_of("10.96.0.0/16", endpoints)


def test_the_certificate_has_every_name_that_a_pod_may_use() -> None:
    assert ADDRESS is not None
    assert apiservice.names_of(ADDRESS, "cluster.local") == (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "10.96.0.1",
    )
