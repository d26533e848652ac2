"""Plain data to a kind's struct, with every error and not only the first.

msgspec converts what is right, fast, and stops at the first thing that is wrong. Then this
module walks the data beside the struct's fields, says all that is wrong, and mends a copy (an
unknown field renamed to the one that was meant, a value of the wrong type left out), so that the
checks of values can still run on the rest.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

import msgspec

from tsujiban.resources.kinds.meta import Status
from tsujiban.resources.positions import Path

T = TypeVar("T", bound=msgspec.Struct)

MAX_DEPTH = 64
"""Deepest nesting of plain data."""

MAX_PROBLEMS = 200
"""Most problems that are told of one object."""


class TooDeep(ValueError):
    """Plain data nested deeper than MAX_DEPTH."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong in one object."""

    path: Path
    code: str
    message: str
    hint: str = ""
    on_key: bool = False  # the field's name is wrong, not its value
    warning: bool = False


def convert(data: Mapping[str, Any], to: type[T], *, nulls: bool) -> tuple[T | None, list[Problem]]:
    """The struct, and all problems of shape. With problems, the struct is of the mended copy.

    `nulls` says that `data` holds nulls, which msgspec takes where a field may be None.
    """
    walk = _Walk()
    try:
        found = msgspec.convert(data, to)
        if not nulls:
            return found, []
    except msgspec.ValidationError:
        pass
    mended = walk.struct(data, to, ())
    try:
        return msgspec.convert(mended, to), walk.problems
    except msgspec.ValidationError as error:
        if not walk.problems:
            walk.problems.append(Problem(path=(), code="wrong-type", message=str(error)))
        return None, walk.problems


@cache
def fields(of: type[msgspec.Struct]) -> dict[str, Any]:
    """Type of each field of a struct, by its name in manifests."""
    hints = typing.get_type_hints(of)
    return {
        encoded: hints[name]
        for name, encoded in zip(of.__struct_fields__, of.__struct_encode_fields__, strict=True)
    }


def holds_null(value: Any, depth: int = 0) -> bool:
    """Whether there is a null anywhere in plain data. Raises TooDeep."""
    if isinstance(value, dict):
        items: Iterable[Any] = value.values()
    elif isinstance(value, list):
        items = value
    else:
        return value is None
    if depth > MAX_DEPTH:
        raise TooDeep
    found = False
    for item in items:
        kind = type(item)
        if kind is dict or kind is list:
            found |= holds_null(item, depth + 1)
        elif item is None:
            found = True
    return found


_DROP = object()
_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


class _Walk:
    """Collects problems and builds the mended copy."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def _problem(self, path: Path, code: str, message: str, hint: str = "", *, on_key: bool = False) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(path=path, code=code, message=message, hint=hint, on_key=on_key))

    def struct(self, data: Any, of: type[msgspec.Struct], path: Path) -> Any:
        if not isinstance(data, dict):
            return self._wrong(data, "a mapping", path)
        known = fields(of)
        mended: dict[str, Any] = {}
        for key, value in data.items():
            here = (*path, key)
            name = key
            if key not in known:
                if issubclass(of, Status):
                    mended[key] = value
                    continue
                name = self._unknown(key, known, data, here)
                if name is None:
                    continue
            found = self.value(value, known[name], here)
            if found is not _DROP:
                mended[name] = found
        return mended

    def _unknown(self, key: str, known: dict[str, Any], data: Mapping[str, Any], path: Path) -> str | None:
        lower = {name.lower(): name for name in known}
        near = lower.get(key.lower()) or next(
            iter(get_close_matches(key, list(known), n=1, cutoff=0.75)), None
        )
        if near is not None:
            hint = f"did you mean {near!r}?"
        else:
            shown = ", ".join(sorted(known)[:20])
            hint = f"known here: {shown}"
        self._problem(path, "unknown-field", f"unknown field {key[:64]!r}", hint, on_key=True)
        return near if near is not None and near not in data else None

    def value(self, data: Any, to: Any, path: Path) -> Any:
        origin = typing.get_origin(to)
        if to is Any:
            return data
        if origin in (typing.Union, types.UnionType):
            return self._union(data, typing.get_args(to), path)
        if origin is tuple:
            return self._list(data, typing.get_args(to)[0], path)
        if origin is dict:
            return self._map(data, typing.get_args(to)[1], path)
        if isinstance(to, type) and issubclass(to, msgspec.Struct):
            return self.struct(data, to, path)
        return self._scalar(data, to, path)

    def _union(self, data: Any, options: tuple[Any, ...], path: Path) -> Any:
        options = tuple(option for option in options if option is not type(None))
        if len(options) == 1:
            return self.value(data, options[0], path)
        if any(type(data) is option for option in options):
            return data
        return self._wrong(data, " or ".join(_NAMES.get(option, "a value") for option in options), path)

    def _list(self, data: Any, item: Any, path: Path) -> Any:
        if not isinstance(data, list):
            return self._wrong(data, "a list", path, "put '- ' before it" if data is not None else "")
        mended = []
        for index, value in enumerate(data):
            if value is None:
                self._problem(
                    (*path, index),
                    "empty-item",
                    "an item of the list is empty",
                    "write {} for an item that sets nothing, or leave it out",
                )
                continue
            found = self.value(value, item, (*path, index))
            if found is not _DROP:
                mended.append(found)
        return mended

    def _map(self, data: Any, item: Any, path: Path) -> Any:
        if not isinstance(data, dict):
            return self._wrong(data, "a mapping", path)
        mended = {}
        for key, value in data.items():
            found = self.value(value, item, (*path, key))
            if found is not _DROP:
                mended[key] = found
        return mended

    def _scalar(self, data: Any, to: Any, path: Path) -> Any:
        if type(data) is to or (to is float and type(data) is int):
            return data
        if to is int and type(data) is float and data.is_integer():
            return int(data)
        hint = ""
        if to is str and isinstance(data, bool | int | float):
            hint = "put it in quotes"
        elif to is int and isinstance(data, str) and data.isdecimal():
            hint = "leave the quotes out"
        return self._wrong(data, _NAMES.get(to, "a value"), path, hint)

    def _wrong(self, data: Any, wanted: str, path: Path, hint: str = "") -> Any:
        self._problem(path, "wrong-type", f"must be {wanted}, is {describe(data)}", hint)
        return _DROP if path else {}


def describe(data: Any) -> str:
    """A value as a person would name it, short."""
    if data is None:
        return "empty"
    if isinstance(data, bool):
        return f"the boolean {str(data).lower()}"
    if isinstance(data, int | float):
        return f"the number {data}"
    if isinstance(data, str):
        return f"the string {data[:64]!r}"
    return "a list" if isinstance(data, list) else "a mapping"
