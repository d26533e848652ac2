"""Objects as the `Table` that `kubectl get` prints, so that columns are the server's to choose.

Source: meta.k8s.io/v1 Table (Kubernetes API concepts, "Receiving resources as Tables").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tsujiban.controller.api import columns
from tsujiban.resources.registry import Kind

Json = dict[str, Any]


class Representation(msgspec.Struct, frozen=True):
    """How the client wants objects: as they are, or as a table of `version` with `include_object`."""

    table: bool = False
    version: str = "v1"
    include_object: str = "Metadata"  # None, Metadata, Object


def negotiate(accept: str, include_object: str) -> Representation:
    """The first of the representations in an Accept header that we have."""
    for alternative in accept.split(","):
        media, *parameters = (part.strip() for part in alternative.split(";"))
        named = dict(part.partition("=")[::2] for part in parameters)
        if media not in ("application/json", "application/*", "*/*"):
            continue
        if named.get("as") == "Table" and named.get("v") in ("v1", "v1beta1"):
            return Representation(True, named["v"], include_object or "Metadata")
        if "as" not in named:
            break
    return Representation()


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
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": version,
            "metadata": document["metadata"],
        }
    return row
