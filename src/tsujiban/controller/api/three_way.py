"""Declarative change: what the user wrote last time, writes now, and what is there, make what shall be.

As `kubectl apply`: fields that the user no longer writes go, fields that others wrote stay. The last
writing is kept in the same annotation as kubectl's, so that the two may take turns.
"""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from tsujiban.controller.api.patch import item_identity, merge_key

Json = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# groups whose lists of objects are merged item by item; elsewhere a list is one value, as for CRDs
_MERGED_LISTS = frozenset({"", "apps", "batch"})


def with_annotation(document: Json) -> Json:
    """The object as it is first written: with what the user wrote in the annotation."""
    written = _as_written(document)
    result = copy.deepcopy(written)
    text = msgspec.json.encode(written, order="sorted").decode()
    for character in "<>&":  # as Go's encoder, or the two would take turns in changing the annotation
        text = text.replace(character, f"\\u{ord(character):04x}")
    result["metadata"]["annotations"][LAST_APPLIED] = text + "\n"
    return result


def merge(modified: Json, current: Json) -> Json:
    """What shall be: `modified` is what the user writes now, `current` what is stored."""
    group = str(modified.get("apiVersion", "")).rpartition("/")[0]
    merged = _objects(_last_applied(current), with_annotation(modified), current, group in _MERGED_LISTS)
    merged["apiVersion"], merged["kind"] = modified["apiVersion"], modified["kind"]
    return merged


def _as_written(document: Json) -> Json:
    metadata = document["metadata"]
    annotations = metadata.get("annotations") or {}
    kept = {name: value for name, value in annotations.items() if name != LAST_APPLIED}
    return {**document, "metadata": {**metadata, "annotations": kept}}


def _last_applied(current: Json) -> Json:
    """What the user wrote last; empty when nobody knows, and then nothing is taken away."""
    annotations = current["metadata"].get("annotations")
    text = annotations.get(LAST_APPLIED) if isinstance(annotations, dict) else None
    try:
        found = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _objects(original: Any, modified: Json, current: Any, by_item: bool) -> Json:
    original = original if isinstance(original, dict) else {}
    current = current if isinstance(current, dict) else {}
    result = {name: value for name, value in current.items() if name in modified or name not in original}
    for name, value in modified.items():
        before, present = original.get(name), current.get(name)
        if isinstance(value, dict):
            result[name] = _objects(before, value, present, by_item)
        elif by_item and isinstance(value, list) and (key := merge_key(name, value)):
            result[name] = _lists(before, value, present, key)
        else:
            result[name] = copy.deepcopy(value)
    return result


def _lists(original: Any, modified: list[Json], current: Any, key: str) -> list[Json]:
    before, present = _by_identity(original, key), _by_identity(current, key)
    wanted = _by_identity(modified, key)
    merged = [_objects(before.get(i), item, present.get(i), True) for i, item in wanted.items()]
    return merged + [item for i, item in present.items() if i not in wanted and i not in before]


def _by_identity(items: Any, key: str) -> dict[str, Json]:
    if not isinstance(items, list):
        return {}
    return {item_identity(item, key): item for item in items if isinstance(item, dict) and key in item}
