"""The cached view keeps its indexes true, and selectors mean what Kubernetes says."""

from __future__ import annotations

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
