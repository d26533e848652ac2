from __future__ import annotations

import pytest

from tsujiban.controller.api.errors import ApiError
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
        ("application/json;as=Table;v=v9,*/*", False, "v1"),
        ("application/yaml", False, "v1"),
        ("*/*", False, "v1"),
        ("", False, "v1"),
    ],
)
def test_negotiate(accept: str, as_table: bool, version: str) -> None:
    assert negotiate(accept, "") == Representation(table=as_table, version=version)


@pytest.mark.parametrize(
    "accept",
    [
        "application/cbor",
        ";;;,=,as=Table",
        "application/json;as=Table;v=v9",
        "application/json;as=Other;v=v1",
    ],
)
def test_what_we_do_not_have(accept: str) -> None:
    with pytest.raises(ApiError) as refused:
        negotiate(accept, "")
    assert refused.value.code == 406


def test_metadata_alone() -> None:
    found = negotiate("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json", "")
    assert found == Representation(metadata=True)
    with pytest.raises(ApiError, match="includeObject"):
        negotiate("*/*", "Everything")


def test_what_stands_beside_the_cells() -> None:
    document = {"metadata": {"name": "a", "uid": "u"}, "data": {}}
    kind = resolve("configmaps")

    def row(include: str) -> object:
        rows = table(kind, [document], {}, Representation(table=True, include_object=include))["rows"]
        return rows[0].get("object")

    assert row("None") is None
    assert row("Object") == document
    metadata = row("Metadata")
    assert isinstance(metadata, dict)
    assert metadata["metadata"] == document["metadata"]
