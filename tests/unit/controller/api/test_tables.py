from __future__ import annotations

import pytest

from tsujiban.controller.api.tables import Representation, negotiate, table
from tsujiban.resources.registry import resolve

KUBECTL_1_20 = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,"
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("accept", "as_table", "version"),
    [
        (KUBECTL_1_20, True, "v1"),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", True, "v1beta1"),
        ("application/json", False, "v1"),
        ("application/json,application/json;as=Table;v=v1;g=meta.k8s.io", False, "v1"),
        ("application/vnd.kubernetes.protobuf,application/json", False, "v1"),
        ("application/json;as=Table;v=v9", False, "v1"),
        ("*/*", False, "v1"),
        ("", False, "v1"),
        (";;;,=,as=Table", False, "v1"),
    ],
)
def test_negotiate(accept: str, as_table: bool, version: str) -> None:
    assert negotiate(accept, "") == Representation(as_table, version)


def test_what_stands_beside_the_cells() -> None:
    document = {"metadata": {"name": "a", "uid": "u"}, "data": {}}
    kind = resolve("configmaps")

    def row(include: str) -> object:
        rows = table(kind, [document], {}, Representation(True, "v1", include))["rows"]
        return rows[0].get("object")

    assert row("None") is None
    assert row("Object") == document
    metadata = row("Metadata")
    assert isinstance(metadata, dict)
    assert metadata["metadata"] == document["metadata"]
