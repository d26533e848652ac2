"""Declarative change: what the user wrote last time, writes now, and what is there, make what shall be.

As `kubectl apply`: fields that the user no longer writes go, fields that others wrote stay. The last
writing is kept in the same annotation as kubectl's, so that the two may take turns.
"""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from tsujiban.controller.api import fields
from tsujiban.resources import schema
from tsujiban.resources.registry import kind_for
from tsujiban.resources.schema import Schema

Json = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def with_annotation(document: Json) -> Json:
    """The object as it is first written: with what the user wrote in the annotation."""
    result = copy.deepcopy(_as_written(document))
    result["metadata"]["annotations"][LAST_APPLIED] = annotation(document)
    return result


def annotation(document: Json) -> str:
    """What the annotation says of an object as the user wrote it."""
    text = msgspec.json.encode(_as_written(document), order="sorted").decode()
    for character in "<>&":  # as Go's encoder, or the two would take turns in changing the annotation
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text + "\n"


def merge(modified: Json, current: Json) -> Json:
    """What shall be: `modified` is what the user writes now, `current` what is stored."""
    kind = kind_for(modified["apiVersion"], modified["kind"])
    # to Kubernetes, a list in a custom resource is one value
    of = schema.of(kind) if schema.built_in(kind) else None
    merged = _objects(last_applied(current), with_annotation(modified), current, of)
    merged["apiVersion"], merged["kind"] = modified["apiVersion"], modified["kind"]
    return merged


def _as_written(document: Json) -> Json:
    metadata = document["metadata"]
    annotations = metadata.get("annotations") or {}
    kept = {name: value for name, value in annotations.items() if name != LAST_APPLIED}
    return {**document, "metadata": {**metadata, "annotations": kept}}


def last_applied(current: Json) -> Json:
    """What the user wrote last; empty when nobody knows, and then nothing is taken away."""
    annotations = current["metadata"].get("annotations")
    text = annotations.get(LAST_APPLIED) if isinstance(annotations, dict) else None
    try:
        found = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _objects(original: Any, modified: Json, current: Any, of: Schema | None) -> Json:
    original = original if isinstance(original, dict) else {}
    current = current if isinstance(current, dict) else {}
    result = {name: value for name, value in current.items() if name in modified or name not in original}
    for name, value in modified.items():
        before, present = original.get(name), current.get(name)
        inner = schema.field(of, name) if of is not None else None
        if isinstance(value, dict):
            result[name] = _objects(before, value, present, inner)
        elif isinstance(value, list) and inner is not None and inner.rule.keys:
            result[name] = _lists(before, value, present, inner)
        else:
            result[name] = copy.deepcopy(value)
    return result


def _lists(original: Any, modified: list[Json], current: Any, of: Schema) -> list[Json]:
    wanted = fields.divided(modified, of)
    if wanted is None:
        return copy.deepcopy(modified)
    before, present = (fields.divided(items or [], of) or {} for items in (original, current))
    inner = schema.item(of)
    merged = [_objects(before.get(i), item, present.get(i), inner) for i, item in wanted.items()]
    return merged + [item for i, item in present.items() if i not in wanted and i not in before]
