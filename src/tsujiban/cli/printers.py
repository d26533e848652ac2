"""What `get` shows of each kind: the server's own columns, so that it reads as kubectl's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cmp_to_key
from typing import Any

from tsujiban.cli.output import full_name
from tsujiban.controller.api import columns
from tsujiban.controller.api.cells import NONE, dig
from tsujiban.resources.registry import Kind

Json = dict[str, Any]


def labels(obj: Json) -> str:
    """`a=b,c=d`, in the order of their names."""
    found = dig(obj, "metadata.labels")
    return (
        ",".join(f"{k}={v}" for k, v in sorted(found.items())) if isinstance(found, dict) and found else NONE
    )


def table(
    kind: Kind,
    objects: list[Json],
    *,
    wide: bool = False,
    with_namespace: bool = False,
    prefix: bool = False,
    label_columns: Sequence[str] = (),
    show_labels: bool = False,
) -> tuple[list[str], list[list[str]]]:
    """Titles and rows; `prefix` writes `pod/name`, for output that mixes kinds."""
    shown = [column for column in columns.of(kind.group, kind.plural) if wide or not column.priority]
    titles = [column.title.upper() for column in shown]
    titles = ["NAMESPACE"] * with_namespace + titles
    titles += [label.rpartition("/")[2].upper() for label in label_columns] + ["LABELS"] * show_labels
    rows = []
    for obj in objects:
        cells = [str(column.cell(obj)) for column in shown]
        if prefix:
            formats = [column.format for column in shown]
            named = formats.index("name") if "name" in formats else 0
            cells[named] = full_name(kind, cells[named])
        own = dig(obj, "metadata.labels") or {}
        cells = [str(dig(obj, "metadata.namespace") or "")] * with_namespace + cells
        cells += [str(own.get(label, NONE)) for label in label_columns]
        rows.append(cells + [labels(obj)] * show_labels)
    return titles, rows


def ordered(objects: list[Json], path: str) -> list[Json]:
    """Objects by the value at a path (`.metadata.name`, `{.status.startTime}`); those without one come first.

    Raises KeyError: none of them has it."""
    steps = path.strip("{}").replace("[", ".").replace("]", "").strip(".").split(".")
    keyed = [(_value(obj, steps), obj) for obj in objects]
    if objects and all(value is None for value, _ in keyed):
        raise KeyError(path)
    keyed.sort(key=cmp_to_key(_compared))
    return [obj for _, obj in keyed]


def _value(found: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(found, list) and step.isdigit():
            found = found[int(step)] if int(step) < len(found) else None
        else:
            found = found.get(step) if isinstance(found, dict) else None
    return found


def _compared(left: tuple[Any, Json], right: tuple[Any, Json]) -> int:
    one, other = left[0], right[0]
    if one is None or other is None:
        return (one is not None) - (other is not None)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return (one > other) - (one < other)
    return (str(one) > str(other)) - (str(one) < str(other))
