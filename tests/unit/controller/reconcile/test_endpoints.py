"""EndpointSlices say which pods are behind a service, and which of them are ready."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile import endpoints
from tsujiban.controller.reconcile.actions import Update
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


def names(kit: Any) -> dict[str, int]:
    return {
        obj["metadata"]["name"]: len(obj["endpoints"]) for _, obj in sorted(kit.world.all(ENDPOINT_SLICES))
    }


def many(kit: Any, app: str, count: int) -> list[Ref]:
    return [
        kit.pod(f"{app}-p{n:03}", ip=f"10.0.{n // 250}.{n % 250}", ready=True, app=app) for n in range(count)
    ]


def test_a_long_list_is_in_several_slices_and_a_change_writes_one(kit: Any) -> None:
    pods = many(kit, "web", 250)
    ref = kit.service("web", selector={"app": "web"}, ports=[PORT])
    slices(kit, ref)
    assert names(kit) == {"web": 100, "web.1": 100, "web.2": 50}
    assert endpoints.plan(kit.world, ref) == []
    kit.world.drop(pods[120])
    kit.pod("web-late", ip="10.0.9.1", ready=True, app="web")
    (action,) = endpoints.plan(kit.world, ref)
    assert action.ref.name == "web.1"
    for pod in pods[200:]:
        kit.world.drop(pod)
    slices(kit, ref)
    assert names(kit) == {"web": 100, "web.1": 100}


def test_other_ports_are_written_into_the_slices_that_are_there(kit: Any) -> None:
    """Deleted and made anew, there would be a moment without endpoints."""
    many(kit, "web", 150)
    ref = kit.service("web", selector={"app": "web"}, ports=[PORT])
    slices(kit, ref)
    service = kit.world.get(ref)
    kit.put(ref, {**service, "spec": {**service["spec"], "ports": [{"port": 80, "targetPort": 9090}]}})
    assert {type(action) for action in endpoints.plan(kit.world, ref)} == {Update}
    slices(kit, ref)
    assert names(kit) == {"web": 100, "web.1": 50}
    assert endpoints.plan(kit.world, ref) == []


def test_services_whose_names_look_like_a_slices_do_not_meet(kit: Any) -> None:
    """Each wrote into the other's slice for ever."""
    services = {}
    for name in ("web", "web-1"):
        many(kit, name, 101)
        services[name] = kit.service(name, selector={"app": name}, ports=[PORT])
    for ref in services.values():
        slices(kit, ref)
    assert all(endpoints.plan(kit.world, ref) == [] for ref in services.values())
    assert names(kit) == {"web": 100, "web-1": 100, "web-1.1": 1, "web.1": 1}


def test_what_somebody_else_has_written_is_theirs(kit: Any) -> None:
    theirs = {"metadata": {"name": "web", "labels": {SERVICE_LABEL: "web"}}, "endpoints": []}
    kit.put(Ref(*ENDPOINT_SLICES, "default", "web"), theirs)
    many(kit, "web", 1)
    slices(kit, kit.service("web", selector={"app": "web"}, ports=[PORT]))
    assert names(kit) == {"web": 0, "web.1": 1}


def test_a_service_without_selector_is_left_to_its_owner(kit: Any) -> None:
    assert endpoints.plan(kit.world, kit.service("manual", ports=[PORT])) == []


def test_a_pod_of_the_services_subdomain_goes_by_its_hostname(kit: Any) -> None:
    for name, subdomain, ip in (("a", "web", "10.0.0.1"), ("b", "other", "10.0.0.2")):
        ref = kit.pod(name, ip=ip, ready=True, app="web")
        pod = kit.world.get(ref)
        kit.put(ref, {**pod, "spec": {**pod["spec"], "hostname": "h", "subdomain": subdomain}})
    (only,) = slices(kit, kit.service("web", selector={"app": "web"}, ports=[PORT]))
    assert [one.get("hostname") for one in only["endpoints"]] == ["h", None]
