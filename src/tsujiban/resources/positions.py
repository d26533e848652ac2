"""Where each field of a document stands, and how a field's path is written.

A path is a tuple of keys and indexes in the code, and text such as `spec.ingress[0].from` or
`metadata.labels["app.kubernetes.io/name"]` for people and in stored origins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Path = tuple[str | int, ...]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_STEP = re.compile(
    r'\.?(?P<key>[A-Za-z_][A-Za-z0-9_-]*)|\[(?P<index>\d+)\]|\["(?P<quoted>(?:[^"\\]|\\.)*)"\]'
)


class Position:
    """Line and column (from 1) of one value, and of what it holds."""

    __slots__ = ("column", "items", "line")

    def __init__(
        self, line: int, column: int, items: dict[str, Position] | list[Position] | None = None
    ) -> None:
        self.line = line
        self.column = column
        self.items = items

    def find(self, path: Sequence[str | int]) -> Position:
        """The position of `path`, or of the nearest thing around it that stands in the text."""
        here = self
        for step in path:
            items = here.items
            if isinstance(items, dict) and isinstance(step, str):
                found = items.get(step)
            elif isinstance(items, list) and isinstance(step, int) and step < len(items):
                found = items[step]
            else:
                found = None
            if found is None:
                break
            here = found
        return here


NOWHERE = Position(0, 0)


def value_at(data: Any, path: Sequence[str | int]) -> Any:
    """The value of a path in plain data, or None."""
    for step in path:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data


def render(path: Sequence[str | int]) -> str:
    """Text of a path."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif _PLAIN.fullmatch(step):
            parts.append(f".{step}" if parts else step)
        else:
            escaped = step.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'["{escaped}"]')
    return "".join(parts)


def parse(text: str) -> Path:
    """The path that `text` is; what cannot be read ends it."""
    path: list[str | int] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            break
        if match["key"] is not None:
            path.append(match["key"])
        elif match["index"] is not None:
            path.append(int(match["index"]))
        else:
            path.append(re.sub(r"\\(.)", r"\1", match["quoted"]))
        at = match.end()
    return tuple(path)
