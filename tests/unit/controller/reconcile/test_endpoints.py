"""EndpointSlices say which pods are behind a service, and which of them are ready."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile import endpoints
from tsujiban.controller.world import ENDPOINT_SLICES, SERVICE_LABEL, Ref

PORT = {"port": 80, "targetPort": 8080}


def slices(kit: Any, ref: Ref) -> list[dict[str, Any]]:
    kit.carry_out(endpoints.plan(kit.world, ref))
    return [obj for _, obj in sorted(kit.world.all(ENDPOINT_SLICES))]


def test_lists_selected_pods_with_readiness(kit: Any) -> None:
    kit.pod("a", ip="10.0.0.1", node="n1", ready=True, app="web")
    kit.pod("b", ip="10.0.0.2", node="n1", app="web")
    kit.pod("c", ip="10.0.0.3", node="n1", ready=True, app="other")
    kit.pod("d", app="web")  # no address yet
    (only,) = slices(kit, kit.service("web", selector={"app": "web"}, ports=[PORT]))
    assert [(e["addresses"], e["conditions"]["ready"]) for e in only["endpoints"]] == [
        (["10.0.0.1"], True),
        (["10.0.0.2"], False),
    ]
    assert only["ports"] == [{"name": "", "protocol": "TCP", "port": 8080}]
    assert only["metadata"]["labels"][SERVICE_LABEL] == "web"


def test_is_stable_when_nothing_changes_and_follows_changes(kit: Any) -> None:
    pod = kit.pod("a", ip="10.0.0.1", ready=True, app="web")
    ref = kit.service("web", selector={"app": "web"}, ports=[PORT])
    assert len(slices(kit, ref)[0]["endpoints"]) == 1
    assert endpoints.plan(kit.world, ref) == []
    kit.world.drop(pod)
    assert slices(kit, ref)[0]["endpoints"] == []


def test_a_named_target_port_may_differ_from_pod_to_pod(kit: Any) -> None:
    ref = kit.service("web", selector={"app": "web"}, ports=[{"port": 80, "targetPort": "http"}])
    for name, ip, port in (("a", "10.0.0.1", 8080), ("b", "10.0.0.2", 9090)):
        pod_ref = kit.pod(name, ip=ip, ready=True, app="web")
        pod = kit.world.get(pod_ref)
        containers = [{"name": "main", "ports": [{"name": "http", "containerPort": port}]}]
        kit.put(pod_ref, {**pod, "spec": {"containers": containers}})
    found = slices(kit, ref)
    assert [(s["ports"][0]["port"], s["endpoints"][0]["addresses"]) for s in found] == [
        (8080, ["10.0.0.1"]),
        (9090, ["10.0.0.2"]),
    ]
    kit.world.drop(Ref("", "pods", "default", "b"))
    assert len(slices(kit, ref)) == 1


def test_a_service_without_selector_is_left_to_its_owner(kit: Any) -> None:
    assert endpoints.plan(kit.world, kit.service("manual", ports=[PORT])) == []


def test_a_pod_of_the_services_subdomain_goes_by_its_hostname(kit: Any) -> None:
    for name, subdomain, ip in (("a", "web", "10.0.0.1"), ("b", "other", "10.0.0.2")):
        ref = kit.pod(name, ip=ip, ready=True, app="web")
        pod = kit.world.get(ref)
        kit.put(ref, {**pod, "spec": {**pod["spec"], "hostname": "h", "subdomain": subdomain}})
    (only,) = slices(kit, kit.service("web", selector={"app": "web"}, ports=[PORT]))
    assert [one.get("hostname") for one in only["endpoints"]] == ["h", None]
