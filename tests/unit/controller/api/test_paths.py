from __future__ import annotations

from tsujiban.controller.api.dispatch import Table
from tsujiban.controller.api.paths import paths
from tsujiban.resources.registry import kind_for


def test_a_kind_of_the_cluster_has_no_namespace_in_its_paths() -> None:
    found = paths(kind_for("projectcalico.org/v3", "Tier"), "projectcalico.org/v3", Table())
    assert "/apis/projectcalico.org/v3/tiers" in found
    assert "/apis/projectcalico.org/v3/tiers/{name}" in found
    assert all("namespace" not in path for path in found)


def test_every_variable_of_a_path_is_a_parameter_and_no_other_is() -> None:
    for path, item in paths(kind_for("v1", "Pod"), "v1", Table()).items():
        named = {parameter["name"] for parameter in item.get("parameters", ())}
        assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_what_may_be_deleted_is_said_with_how() -> None:
    item = paths(kind_for("v1", "Pod"), "v1", Table())["/api/v1/namespaces/{namespace}/pods/{name}"]
    assert {"gracePeriodSeconds", "propagationPolicy"} <= {p["name"] for p in item["delete"]["parameters"]}
