"""Objects as the `Table` that `kubectl get` prints, so that columns are the server's to choose.

Source: meta.k8s.io/v1 Table (Kubernetes API concepts, "Receiving resources as Tables").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tsujiban.controller.api import columns
from tsujiban.controller.api.errors import bad_request, not_acceptable
from tsujiban.resources.registry import Kind

Json = dict[str, Any]


class Representation(msgspec.Struct, frozen=True):
    """How the client wants objects: as they are, as a `table` with `include_object`, or their `metadata`
    alone, in `version` of meta.k8s.io."""

    table: bool = False
    metadata: bool = False
    version: str = "v1"
    include_object: str = "Metadata"  # None, Metadata, Object

    @property
    def plain(self) -> bool:
        """Whether objects go out as they are."""
        return not self.table and not self.metadata


_MEDIA = ("application/json", "application/yaml")
_INCLUDES = ("", "None", "Metadata", "Object")


def negotiate(accept: str, include_object: str) -> Representation:
    """The first of the representations in an Accept header that we have.

    Raises:
        ApiError: 406, we have none of them; 400, `include_object` is not one of its words.
    """
    if include_object not in _INCLUDES:
        raise bad_request(f"invalid includeObject value: {include_object[:64]!r}")
    for alternative in (accept or "*/*").split(","):
        media, *parameters = (part.strip() for part in alternative.split(";"))
        named = dict(part.partition("=")[::2] for part in parameters)
        if media not in (*_MEDIA, "application/*", "*/*"):
            continue
        wanted, version = named.get("as"), named.get("v", "")
        if wanted is None:
            return Representation()
        if version not in ("v1", "v1beta1"):
            continue
        if wanted == "Table":
            return Representation(table=True, version=version, include_object=include_object or "Metadata")
        if wanted in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Representation(metadata=True, version=version)
    raise not_acceptable(_MEDIA)


def partial(document: Json, version: str) -> Json:
    """An object's metadata alone."""
    head = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}"}
    return {**head, "metadata": document["metadata"]}


def table(
    kind: Kind, objects: Iterable[Json], metadata: Json, wanted: Representation, *, titles: bool = True
) -> Json:
    """A Table; `titles` False leaves the column definitions out, as watches do after their first event."""
    chosen = columns.of(kind.group, kind.plural)
    version = f"meta.k8s.io/{wanted.version}"
    return {
        "kind": "Table",
        "apiVersion": version,
        "metadata": metadata,
        "columnDefinitions": [_definition(column) for column in chosen] if titles else [],
        "rows": [_row(document, chosen, version, wanted.include_object) for document in objects],
    }


def _definition(column: columns.Column) -> Json:
    return {
        "name": column.title,
        "type": column.type,
        "format": column.format,
        "description": column.description or column.title,
        "priority": column.priority,
    }


def _row(document: Json, chosen: tuple[columns.Column, ...], version: str, include: str) -> Json:
    row: Json = {"cells": [column.cell(document) for column in chosen]}
    if include == "Object":
        row["object"] = document
    elif include != "None":
        row["object"] = partial(document, version.rpartition("/")[2])
    return row
