"""Setting and clearing an entry of a table are one operation wherever a new state may be "there is none"."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")


def put(table: dict[Name, Value], name: Name, value: Value | None) -> None:
    """Give `name` its value; None takes it out, and need not have been in."""
    if value is None:
        table.pop(name, None)
    else:
        table[name] = value
