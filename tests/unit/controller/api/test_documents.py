from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.api import documents
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.target import Target
from tsujiban.resources.registry import resolve

DEPLOYMENT = Target(kind=resolve("deployments"), api_version="apps/v1", namespace="n", name="a")
NODE = Target(kind=resolve("nodes"), api_version="v1", name="a")


def test_shaped_takes_kind_and_namespace_from_the_path() -> None:
    found = documents.shaped({"spec": {"x": None}}, DEPLOYMENT)
    assert found == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": "n"},
        "spec": {},
    }
    assert documents.shaped({"metadata": {"namespace": ""}}, NODE)["metadata"] == {}


def test_shaped_gives_the_stored_version() -> None:
    kind = resolve("tiers")
    target = Target(kind=kind, api_version="crd.projectcalico.org/v1", name="t")
    assert (
        documents.shaped({"apiVersion": "crd.projectcalico.org/v1"}, target)["apiVersion"] == kind.api_version
    )


@pytest.mark.parametrize("version", ["", "-1", "1.5", "x", "0x1", "\u0661", "9" * 19, 7, None, []])
def test_revision_is_strict(version: Any) -> None:
    with pytest.raises(ApiError):
        documents.revision(version)


def test_expected_revision() -> None:
    assert documents.expected_revision({"metadata": {}}) is None
    assert documents.expected_revision({"metadata": {"resourceVersion": "7"}}) == 7


def test_for_status_changes_nothing_else() -> None:
    current = {"metadata": {"name": "a", "uid": "u"}, "spec": 1, "status": 1}
    new = {"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": 2, "status": 2}
    assert documents.for_status(new, current, DEPLOYMENT) == {**current, "status": 2}


def test_is_finished() -> None:
    assert not documents.is_finished({"metadata": {}})
    assert not documents.is_finished({"metadata": {"deletionTimestamp": "x", "finalizers": ["f"]}})
    assert documents.is_finished({"metadata": {"deletionTimestamp": "x", "finalizers": []}})


def test_without_nulls_keeps_null_items() -> None:
    assert documents.without_nulls({"a": None, "b": [None, {"c": None}]}) == {"b": [None, {}]}
