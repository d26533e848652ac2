"""Names and labels of whole objects."""

from __future__ import annotations

from typing import Any

import pytest

V3 = "projectcalico.org/v3"


@pytest.mark.parametrize(
    ("version", "kind", "name", "good"),
    [
        ("v1", "Namespace", "a.b", False),
        ("v1", "Service", "1a", False),
        ("v1", "ConfigMap", "a.b", True),
        ("v1", "ConfigMap", "a_b", False),
        (V3, "Tier", "a.b", False),
        (V3, "GlobalNetworkPolicy", "t.a", True),
        (V3, "GlobalNetworkPolicy", "t.a.b", False),
        (V3, "GlobalNetworkPolicy", "knp.default.a", False),
        (V3, "NetworkPolicy", "knp.default.a", True),
        (V3, "NetworkPolicy", "a" * 254, False),
    ],
)
def test_name(judge: Any, version: str, kind: str, name: str, good: bool) -> None:
    told = judge(version, kind, name, **({"spec": {"ports": [{"port": 1}]}} if kind == "Service" else {}))
    assert told.isdisjoint({("metadata.name", "bad-name"), ("metadata.name", "odd-name")}) is good


def test_a_name_is_required(judge: Any) -> None:
    assert judge("v1", "Namespace", metadata={"generateName": "a"}) == {("metadata.name", "missing-field")}


def test_namespace(judge: Any) -> None:
    assert judge("v1", "Namespace", metadata={"name": "a", "namespace": "b"}) == {
        ("metadata.namespace", "conflict")
    }
    assert judge("v1", "Secret", metadata={"name": "a", "namespace": "B"}) == {
        ("metadata.namespace", "bad-name")
    }


def test_labels_and_annotations(judge: Any) -> None:
    meta = {"name": "a", "labels": {"-": "x", "y": "$"}, "annotations": {"a b": ""}}
    assert judge("v1", "Secret", metadata=meta) == {
        ('metadata.labels["-"]', "bad-label"),
        ("metadata.labels.y", "bad-label"),
        ('metadata.annotations["a b"]', "bad-annotation"),
    }


def test_calicos_own_labels_are_reserved(judge: Any) -> None:
    meta = {"name": "a", "labels": {"projectcalico.org/namespace": "x"}}
    assert judge(V3, "GlobalNetworkSet", metadata=meta) == {
        ('metadata.labels["projectcalico.org/namespace"]', "reserved-label")
    }


def test_an_owner_is_named_whole(judge: Any) -> None:
    """Who may make a ConfigMap ended the control plane, at every start again: its owner had no uid."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}
    assert judge("v1", "Secret", metadata={"name": "a", "ownerReferences": [owner]}) == set()
    for field in ("apiVersion", "kind", "name", "uid"):
        part = {key: value for key, value in owner.items() if key != field}
        assert judge("v1", "Secret", metadata={"name": "a", "ownerReferences": [part]}) == {
            (f"metadata.ownerReferences[0].{field}", "missing-field")
        }
    assert judge("v1", "Secret", metadata={"name": "a", "ownerReferences": [owner, owner]}) == {
        ("metadata.ownerReferences", "duplicate")
    }
