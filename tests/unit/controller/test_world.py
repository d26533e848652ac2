"""The cached view keeps its indexes true, and selectors mean what Kubernetes says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tsujiban.controller import world


def pod(name: str, *owners: str) -> tuple[world.Ref, world.Json]:
    references = [
        {"uid": uid, "controller": True, "kind": "X", "apiVersion": "v1", "name": uid} for uid in owners
    ]
    metadata = {"name": name, "uid": name, "ownerReferences": references}
    return world.Ref("", "pods", "default", name), {"metadata": metadata}


def test_ownership_follows_replacement_and_removal() -> None:
    view = world.World()
    ref, obj = pod("a", "one")
    view.put(ref, obj)
    assert view.owned_by("one") == [(ref, obj)]
    moved = pod("a", "two")[1]
    view.put(ref, moved)
    assert view.owned_by("one") == []
    assert view.owned_by("two", world.PODS) == [(ref, moved)]
    assert view.owned_by("two", world.SERVICES) == []
    assert view.drop(ref) == moved
    assert view.owned_by("two") == []
    assert view.drop(ref) is None


def placed(
    name: str, node: str = "", address: str = "", phase: str = "Running"
) -> tuple[world.Ref, world.Json]:
    ref, obj = pod(name)
    return ref, {**obj, "spec": {"nodeName": node}, "status": {"phase": phase, "podIP": address}}


def test_pods_are_found_by_node_and_while_they_wait() -> None:
    view = world.World()
    for one in (
        placed("a", "n", "10.0.0.1"),
        placed("b", "n", "10.0.0.2", "Failed"),
        placed("c"),
        placed("d", "n"),
    ):
        view.put(*one)
    assert [ref.name for ref, _ in view.pods_on("n")] == ["a", "b", "d"]
    assert view.load("n") == 2, "those that have not finished"
    assert [ref.name for ref, _ in view.unplaced()] == ["c", "d"]
    view.put(*placed("c", "m", "10.0.0.3"))
    view.put(*placed("d", "m", "10.0.0.4", "Succeeded"))
    assert [ref.name for ref, _ in view.pods_on("m")] == ["c", "d"]
    assert (view.load("n"), view.load("m"), view.unplaced()) == (1, 1, [])
    for name in "abcd":
        view.drop(pod(name)[0])
    assert (view.pods_on("n"), view.load("n"), view.load("m")) == ([], 0, 0)


def test_objects_are_found_by_namespace() -> None:
    view = world.World()
    view.put(*pod("a"))
    view.put(world.Ref("", "pods", "other", "b"), pod("b")[1])
    assert [ref.name for ref, _ in view.all(world.PODS, "default")] == ["a"]
    assert [ref.name for ref, _ in view.all(world.PODS)] == ["a", "b"]
    view.drop(pod("a")[0])
    assert list(view.all(world.PODS, "default")) == []


def test_controller_of() -> None:
    assert (world.controller_of(pod("a", "one")[1]) or {})["uid"] == "one"
    assert world.controller_of(pod("a")[1]) is None


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (None, {"a": "1"}, False),
        ({}, {}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
    ],
)
def test_selects(selector: world.Json | None, labels: dict[str, str], expected: bool) -> None:
    assert world.selects(selector, labels) is expected


def test_who_has_which_virtual_address_is_counted() -> None:
    view = world.World()
    one, two = (world.Ref(*world.SERVICES, "n", name) for name in "ab")
    view.put(one, {"metadata": {"name": "a"}, "spec": {"clusterIP": "10.0.0.1"}})
    view.put(two, {"metadata": {"name": "b"}, "spec": {"clusterIPs": ["10.0.0.1", "fd00::1"]}})
    assert view.addresses == {"10.0.0.1": 2, "fd00::1": 1}
    view.put(one, {"metadata": {"name": "a"}, "spec": {"clusterIP": "None"}})
    view.drop(two)
    assert not view.addresses


@pytest.mark.parametrize(
    "spec", [None, "x", 1, {"clusterIPs": "x"}, {"clusterIP": 7}, {"clusterIPs": [{}, None]}]
)
def test_a_service_that_is_none_has_no_address(spec: object) -> None:
    view = world.World()
    ref = world.Ref(*world.SERVICES, "n", "a")
    view.put(ref, {"metadata": {"name": "a"}, "spec": spec})
    assert not view.addresses
    assert view.drop(ref) is not None


@pytest.mark.parametrize("labels", [None, "x", ["x"], {world.SERVICE_LABEL: ["x"]}])
def test_a_slice_with_odd_labels_is_of_no_service(labels: object) -> None:
    view = world.World()
    ref = world.Ref(*world.ENDPOINT_SLICES, "n", "a")
    view.put(ref, {"metadata": {"name": "a", "labels": labels}})
    assert view.slices_of(world.Ref(*world.SERVICES, "n", "x")) == []
    assert view.drop(ref) is not None


def test_pods_to_which_others_matter_are_known_while_they_do() -> None:
    view, ref = world.World(), world.Ref(*world.PODS, "default", "web")
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    pod: world.Json = {
        "metadata": {"name": "web"},
        "spec": {"affinity": {"podAntiAffinity": {required: [{"topologyKey": "x"}]}}},
    }

    def shy() -> list[tuple[Sequence[world.Json], dict[str, int]]]:
        return [(pods.terms, dict(nodes)) for pods, nodes in view.shy()]

    view.put(ref, pod)
    assert (view.choosy(), shy()) == ([(ref, pod)], [])
    placed = {**pod, "spec": {**pod["spec"], "nodeName": "n1"}, "status": {"podIP": "10.0.0.1"}}
    view.put(ref, placed)
    assert (view.choosy(), shy()) == ([], [([{"topologyKey": "x"}], {"n1": 1})])
    liking = {"podAntiAffinity": {required.replace("required", "preferred"): [{"weight": 1}]}}
    view.put(ref, {**placed, "spec": {"affinity": liking, "nodeName": "n1"}})
    assert shy() == []
    view.put(ref, placed)
    view.put(ref, {**placed, "status": {"phase": "Succeeded"}})
    assert (view.choosy(), shy(), view.count(world.PODS)) == ([], [], 1)
    view.put(ref, {**pod, "spec": {"topologySpreadConstraints": [{}]}})
    assert [len(found) for found in (view.choosy(), shy())] == [1, 0]
    view.drop(ref)
    assert (view.choosy(), view.count(world.PODS)) == ([], 0)
