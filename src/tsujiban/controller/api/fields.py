"""Which fields an object has: sets of paths, and their written form in `metadata.managedFields`.

A path is a tuple of elements as `fieldsV1` writes them: `f:NAME` a field or key of a map, `k:{…}` an
item of a list by its keys, `v:…` a member of a set. A leaf's value is kept beside its path, so that two
objects are compared by comparing dictionaries. Source: KEP-555 "Server-side Apply"; apimachinery's
FieldsV1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tsujiban.resources import schema
from tsujiban.resources.schema import Schema

Json = dict[str, Any]
Path = tuple[str, ...]
Fields = frozenset[Path]

NONE: Fields = frozenset()
MAX_DEPTH = 100

_MEMBER = object()  # the value of what has parts, and is a field besides


class NotFields(ValueError):
    """Not the written form of a set of fields, or an object that cannot be divided into fields."""


def leaves(document: Any, of: Schema, *, strict: bool = False) -> dict[Path, Any]:
    """Every field of an object, with its value where it has no parts.

    Raises:
        NotFields: `strict`, and two items of a list have the same keys, or an item lacks a key.
    """
    found: dict[Path, Any] = {}
    _walk(document, of, (), found, strict)
    return found


def fields(document: Any, of: Schema, *, strict: bool = False) -> Fields:
    """The paths of `leaves`."""
    return frozenset(leaves(document, of, strict=strict))


def _walk(value: Any, of: Schema, path: Path, found: dict[Path, Any], strict: bool) -> None:
    if isinstance(value, dict) and value and not of.atomic:
        of_struct = of.struct is not None
        for name, part in value.items():
            here = (*path, f"f:{name}")
            if not of_struct and isinstance(part, dict | list):
                found[here] = _MEMBER
            _walk(part, schema.field(of, name), here, found, strict)
    elif isinstance(value, list) and (items := divided(value, of, strict=strict)) is not None:
        for element, part in items.items():
            here = (*path, element)
            found[here] = _MEMBER
            if element[0] == "k":
                _walk(part, schema.item(of), here, found, strict)
    elif path:
        found[path] = value


def divided(items: list[Any], of: Schema, *, strict: bool = False) -> dict[str, Any] | None:
    """The items of a list by their path elements; None when the list is one value.

    Raises:
        NotFields: as `leaves`.
    """
    rule = of.rule
    if not rule.keys and not rule.is_set:
        return None
    found: dict[str, Any] = {}
    for value in items:
        element = element_of(value, of)
        if element is None or element in found:
            if strict:
                wrong = "lacks a key" if element is None else f"is there twice: {element[2:]}"
                raise NotFields(f"an item of a list with keys {', '.join(rule.keys) or 'of its own'} {wrong}")
            return None
        found[element] = value
    return found


def element_of(value: Any, of: Schema) -> str | None:
    """The path element of an item of a divided list; None when it has none."""
    if of.rule.is_set:
        return None if isinstance(value, dict | list) else f"v:{canonical(value)}"
    if not isinstance(value, dict):
        return None
    keys = {key: value.get(key, schema.KEY_DEFAULTS.get(key)) for key in sorted(of.rule.keys)}
    if all(key is None for key in keys.values()):
        return None
    return "k:" + canonical({name: key for name, key in keys.items() if key is not None})


def with_parents(fields: Iterable[Path]) -> set[Path]:
    """The paths, and everything that they are in."""
    found: set[Path] = set()
    for path in fields:
        while path and path not in found:
            found.add(path)
            path = path[:-1]
    return found


def without(document: Any, of: Schema, gone: set[Path], kept: set[Path], path: Path = ()) -> Any:
    """A copy of an object without the fields in `gone`; what is empty without them goes too, unless in
    `kept`."""
    parts = _parts(document, of)
    if parts is None:
        return document
    left: dict[str, Any] = {}
    for element, (part, inner) in parts.items():
        here = (*path, element)
        if here in gone:
            continue
        value = without(part, inner, gone, kept, here)
        if value or not part or here in kept or value == part:
            left[element] = value
    if isinstance(document, dict):
        return {element[2:]: value for element, value in left.items()}
    return list(left.values())


def _parts(value: Any, of: Schema) -> dict[str, tuple[Any, Schema]] | None:
    """What a value is divided into; None when it is one value."""
    if isinstance(value, dict) and not of.atomic:
        return {f"f:{name}": (part, schema.field(of, name)) for name, part in value.items()}
    if isinstance(value, list) and (items := divided(value, of)) is not None:
        inner = schema.item(of)
        return {element: (part, inner) for element, part in items.items()}
    return None


def merged(live: Any, applied: Any, of: Schema) -> Any:
    """`live` with everything that `applied` says; lists keep the order of `applied`, what is new to it
    after."""
    if isinstance(applied, dict) and isinstance(live, dict) and not of.atomic:
        result = dict(live)
        for name, value in applied.items():
            part = schema.field(of, name)
            result[name] = merged(live[name], value, part) if name in live else value
        return result
    if isinstance(applied, list) and isinstance(live, list):
        wanted, present = divided(applied, of), divided(live, of)
        if wanted is not None and present is not None:
            return _merged_items(present, wanted, schema.item(of))
    return applied


def _merged_items(present: Json, wanted: Json, of: Schema) -> list[Any]:
    result: list[Any] = []
    left = iter(wanted.items())
    placed: set[str] = set()

    def until(element: str) -> None:
        """The applied items before and with this one, in their own order."""
        for name, value in left:
            placed.add(name)
            result.append(merged(present[name], value, of) if name in present else value)
            if name == element:
                return

    for element, value in present.items():
        if element not in wanted:
            result.append(value)
        elif element not in placed:
            until(element)
    until("")
    return result


# ---------------------------------------------------------------- the written form


def encode(fields: Fields) -> Json:
    """As `fieldsV1`."""
    root: Json = {}
    for path in sorted(fields):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _without_dots(root)


def _without_dots(node: Json) -> Json:
    """A leaf needs no "."."""
    if node.keys() == {"."}:
        return {}
    return {name: {} if name == "." else _without_dots(part) for name, part in node.items()}


def decode(written: Any) -> Fields:
    """From `fieldsV1`.

    Raises:
        NotFields: it is not that.
    """
    if not isinstance(written, dict):
        raise NotFields("fieldsV1 is not an object")
    return frozenset(_read(written, ()))


def _read(node: Json, path: Path) -> Iterator[Path]:
    if len(path) > MAX_DEPTH:
        raise NotFields("fieldsV1 is nested too deep")
    if path and not node:
        yield path
    for name, part in node.items():
        if name == ".":
            if path:
                yield path
            continue
        if name[:2] not in ("f:", "k:", "v:", "i:") or not isinstance(part, dict):
            raise NotFields(f"fieldsV1 holds {name[:64]!r}, which is no path element")
        yield from _read(part, (*path, _canonical(name)))


def _canonical(element: str) -> str:
    """Keys and values as this module writes them."""
    if element[0] not in "kv":
        return element
    try:
        value = msgspec.json.decode(element[2:])
    except msgspec.DecodeError:
        raise NotFields(f"{element[:64]!r} holds no JSON") from None
    return element[:2] + canonical(value)


def canonical(value: Any) -> str:
    """A value as the one JSON text that it has: 1, 1.0 and true differ."""
    return msgspec.json.encode(value, order="deterministic").decode()


def shown(path: Path) -> str:
    """A path as messages write it: `.spec.containers[name="app"].image`."""
    parts = []
    for element in path:
        kind, body = element[0], element[2:]
        if kind == "f":
            parts.append(f".{body}")
        elif kind == "k":
            keys = msgspec.json.decode(body)
            parts.append("[" + ",".join(f"{key}={canonical(value)}" for key, value in keys.items()) + "]")
        else:
            parts.append(f"[{'=' if kind == 'v' else ''}{body}]")
    return "".join(parts)
