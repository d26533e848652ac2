"""Endpoints say what the slices say, and slices what hand-made Endpoints say."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.loop import Change
from tsujiban.controller.reconcile import apiservice, endpointlists, endpoints, slicing
from tsujiban.controller.reconcile.actions import Delete
from tsujiban.controller.world import ENDPOINT_SLICES, ENDPOINTS, SERVICE_LABEL, SERVICES, Ref

PORT = {"name": "http", "port": 80, "targetPort": 8080}
LIST = Ref(*ENDPOINTS, "default", "web")
TOLD = [{"name": "http", "port": 8080, "protocol": "TCP"}]


def service(kit: Any, **spec: Any) -> Ref:
    ref: Ref = kit.service("web", ports=[PORT], **spec)
    kit.world.get(ref)["metadata"]["uid"] = "s1"  # a changed one is the same service
    return ref


def settle(kit: Any, ref: Ref) -> Any:
    kit.carry_out(endpoints.plan(kit.world, ref))
    kit.carry_out(endpointlists.plan(kit.world, ref))
    assert endpointlists.plan(kit.world, ref) == []
    return kit.world.get(LIST)


def by_hand(kit: Any, *subsets: dict[str, Any], **metadata: Any) -> None:
    head = {"name": "web", "namespace": "default", **metadata}
    kit.put(LIST, {"apiVersion": "v1", "kind": "Endpoints", "metadata": head, "subsets": list(subsets)})


def slices(kit: Any) -> list[dict[str, Any]]:
    return [obj for _, obj in sorted(kit.world.all(ENDPOINT_SLICES))]


def test_ready_pods_and_others_with_their_ports(kit: Any) -> None:
    kit.pod("a", ip="10.0.0.1", node="n1", ready=True, app="web")
    kit.pod("b", ip="10.0.0.2", node="n1", app="web")
    found = settle(kit, service(kit, selector={"app": "web"}))
    (subset,) = found["subsets"]
    (ready,), (other,) = subset["addresses"], subset["notReadyAddresses"]
    assert (ready["ip"], ready["nodeName"], ready["targetRef"]["name"]) == ("10.0.0.1", "n1", "a")
    assert other["ip"] == "10.0.0.2"
    assert subset["ports"] == TOLD
    assert found["metadata"]["labels"] == {endpointlists.MANAGED: endpointlists.OURS}


def test_changes_are_followed_and_come_back_when_somebody_undoes_them(kit: Any) -> None:
    pod = kit.pod("a", ip="10.0.0.1", ready=True, app="web")
    ref = service(kit, selector={"app": "web"})
    before = settle(kit, ref)
    by_hand(kit, {"addresses": [{"ip": "10.9.9.9"}]})
    assert settle(kit, ref)["subsets"] == before["subsets"]
    kit.world.drop(pod)
    assert "subsets" not in settle(kit, ref)
    kit.world.drop(ref)
    for owned, _ in list(kit.world.all(ENDPOINT_SLICES)):
        kit.world.drop(owned)
    assert settle(kit, ref) is None


def test_who_leaves_is_not_listed_unless_all_are_published(kit: Any) -> None:
    kit.pod("a", ip="10.0.0.1", ready=True, app="web")
    pod = kit.world.find(("", "pods"), "default", "a")
    pod["metadata"]["deletionTimestamp"] = "2026-11-26T00:00:00Z"
    assert "subsets" not in settle(kit, service(kit, selector={"app": "web"}))
    (subset,) = settle(kit, service(kit, selector={"app": "web"}, publishNotReadyAddresses=True))["subsets"]
    assert [one["ip"] for one in subset["addresses"]] == ["10.0.0.1"]


def test_headless_services_are_labelled(kit: Any) -> None:
    found = settle(kit, service(kit, selector={"app": "web"}, clusterIP="None"))
    assert endpointlists.HEADLESS in found["metadata"]["labels"]


def test_a_long_list_is_cut_and_says_so(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpointlists, "MOST", 2)
    for index in range(3):
        kit.pod(f"p{index}", ip=f"10.0.0.{index}", ready=index > 0, app="web")
    ref = service(kit, selector={"app": "web"})
    found = settle(kit, ref)
    assert found["metadata"]["annotations"] == {endpointlists.OVER: "truncated"}
    assert [one["ip"] for one in found["subsets"][0]["addresses"]] == ["10.0.0.1", "10.0.0.2"]
    monkeypatch.setattr(endpointlists, "MOST", 3)
    assert "annotations" not in settle(kit, ref)["metadata"]


def test_what_is_in_several_slices_is_one_list(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicing, "MOST", 2)
    for index in range(5):
        kit.pod(f"p{index}", ip=f"10.0.0.{index}", ready=index != 3, app="web")
    (subset,) = settle(kit, service(kit, selector={"app": "web"}))["subsets"]
    assert len(slices(kit)) == 3
    assert [one["ip"] for one in subset["addresses"]] == ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.4"]
    assert [one["ip"] for one in subset["notReadyAddresses"]] == ["10.0.0.3"]


def test_a_mirror_is_no_longer_than_a_slice_may_be(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpointlists, "MOST", 3)
    ready, others = ([{"ip": f"192.0.2.{base + n}"} for n in range(2)] for base in (1, 11))
    by_hand(kit, {"addresses": ready, "notReadyAddresses": others})
    settle(kit, service(kit))
    assert [one["addresses"] for one in slices(kit)[0]["endpoints"]] == [
        ["192.0.2.1"],
        ["192.0.2.2"],
        ["192.0.2.11"],
    ]


def test_hand_made_ones_go_with_their_service(kit: Any) -> None:
    by_hand(kit, {"addresses": [{"ip": "192.0.2.1"}]}, uid="e1")
    ref = service(kit)
    settle(kit, ref)
    assert endpointlists.orphaned(kit.world, ref) == []
    kit.world.drop(ref)
    assert endpointlists.orphaned(kit.world, ref) == [Delete(LIST, "e1")]
    assert settle(kit, ref) is None  # also when nobody saw it go: the mirrors tell
    assert slices(kit) == []
    assert endpointlists.orphaned(kit.world, ref) == []


def test_hand_made_ones_are_mirrored_by_family(kit: Any) -> None:
    by_hand(
        kit,
        {"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], "ports": [{"port": 5432}]},
        {"notReadyAddresses": [{"ip": "192.0.2.2", "hostname": "b"}]},
        labels={"team": "a"},
        uid="e1",
    )
    ref = service(kit)
    settle(kit, ref)
    found = [(s["addressType"], s["endpoints"], s["ports"]) for s in slices(kit)]
    port = {"name": "", "protocol": "TCP", "port": 5432}
    assert found == [
        ("IPv4", [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}], [port]),
        ("IPv6", [{"addresses": ["2001:db8::1"], "conditions": {"ready": True}}], [port]),
        ("IPv4", [{"addresses": ["192.0.2.2"], "conditions": {"ready": False}, "hostname": "b"}], []),
    ]
    labels = slices(kit)[0]["metadata"]["labels"]
    assert labels == {"team": "a", SERVICE_LABEL: "web", endpointlists.SLICE_MANAGED: endpointlists.MIRROR}
    by_hand(kit, {"addresses": [{"ip": "192.0.2.9"}]}, uid="e1")
    settle(kit, ref)
    assert [s["endpoints"][0]["addresses"] for s in slices(kit)] == [["192.0.2.9"]]
    kit.world.drop(LIST)
    settle(kit, ref)
    assert slices(kit) == []


def test_mirrors_go_when_the_service_gets_a_selector(kit: Any) -> None:
    by_hand(kit, {"addresses": [{"ip": "192.0.2.1"}]})
    settle(kit, service(kit))
    assert len(slices(kit)) == 1
    kit.pod("a", ip="10.0.0.1", ready=True, app="web")
    found = settle(kit, service(kit, selector={"app": "web"}))
    assert found["subsets"][0]["addresses"][0]["ip"] == "10.0.0.1"
    assert [s["metadata"]["name"] for s in slices(kit)] == ["web"]


@pytest.mark.parametrize(
    "metadata", [{"labels": {endpointlists.SKIP: "true"}}, {"annotations": {endpointlists.LEADER: "{}"}}]
)
def test_some_are_not_mirrored(kit: Any, metadata: dict[str, Any]) -> None:
    by_hand(kit, {"addresses": [{"ip": "192.0.2.1"}]}, **metadata)
    settle(kit, service(kit))
    assert slices(kit) == []


def test_hand_made_ones_without_a_service_are_left_alone(kit: Any) -> None:
    by_hand(kit, {"addresses": [{"ip": "192.0.2.1"}]})
    assert settle(kit, Ref(*SERVICES, "default", "web")) is not None


def test_the_api_has_a_list_too(kit: Any) -> None:
    kit.service("kubernetes", clusterIP="10.96.0.1")
    labels = {SERVICE_LABEL: "kubernetes"}
    body = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.9"]}], "ports": [{"port": 6443}]}
    kit.put(apiservice.SLICE, {"metadata": {"name": "kubernetes", "labels": labels}, **body})
    kit.carry_out(endpointlists.plan(kit.world, apiservice.SERVICE))
    found = kit.world.find(ENDPOINTS, "default", "kubernetes")
    assert found["subsets"] == [{"addresses": [{"ip": "10.0.0.9"}], "ports": [{"port": 6443}]}]
    assert found["metadata"]["labels"][endpointlists.SKIP] == "true"


def test_what_concerns_a_service() -> None:
    old = {"metadata": {"labels": {SERVICE_LABEL: "a"}}}
    new = {"metadata": {"labels": {SERVICE_LABEL: "b"}}}
    changed = Change(Ref(*ENDPOINT_SLICES, "n", "x"), old, new, 1)
    assert list(endpointlists.concerned(changed)) == [Ref(*SERVICES, "n", "a"), Ref(*SERVICES, "n", "b")]
    assert list(endpointlists.concerned(Change(LIST, None, None, 1))) == [Ref(*SERVICES, "default", "web")]
    assert list(endpointlists.concerned(Change(Ref("", "pods", "n", "x"), old, new, 1))) == []
