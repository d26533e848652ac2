from __future__ import annotations

import pytest

from tsujiban.controller.api import discovery
from tsujiban.controller.api.dispatch import Table
from tsujiban.controller.api.errors import ApiError
from tsujiban.resources.registry import KINDS, resolve

TABLE = Table()


def test_every_kind_and_version_can_be_found() -> None:
    groups = {group["name"] for group in discovery.groups(TABLE)["groups"]}
    for kind in KINDS:
        for api_version in kind.versions:
            group, _, version = api_version.rpartition("/")
            listed = {
                entry["name"]: entry for entry in discovery.resources(group, version, TABLE)["resources"]
            }
            assert listed[kind.plural]["kind"] == kind.kind
            assert listed[kind.plural]["namespaced"] == kind.namespaced
            assert group == "" or group in groups


def test_kubernetes_own_networkpolicies_come_before_calicos() -> None:
    names = [group["name"] for group in discovery.groups(TABLE)["groups"]]
    assert names.index("networking.k8s.io") < names.index("projectcalico.org")


def test_short_names_are_told_in_one_version_only() -> None:
    stored = discovery.resources("crd.projectcalico.org", "v1", TABLE)["resources"]
    assert not any(entry.get("shortNames") for entry in stored)


def test_subresources() -> None:
    names = {entry["name"] for entry in discovery.resources("", "v1", TABLE)["resources"]}
    assert {"namespaces/status", "pods/status"} <= names
    assert "configmaps/status" not in names


def test_group() -> None:
    assert discovery.group("apps", TABLE)["preferredVersion"]["version"] == "v1"
    for name in ("", "nope"):
        with pytest.raises(ApiError):
            discovery.group(name, TABLE)
    with pytest.raises(ApiError):
        discovery.resources("apps", "v9", TABLE)


def test_has_status() -> None:
    assert discovery.has_status(resolve("pods"))
    assert not discovery.has_status(resolve("configmaps"))
