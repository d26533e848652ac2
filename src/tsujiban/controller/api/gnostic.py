"""An OpenAPI 2.0 document in protobuf, the form in which kubectl asks for it.

Of the message types of gnostic's OpenAPIv2.proto only what our document holds is written: info, paths,
definitions, schemas. Every number below is a field's number there.
"""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]


def document(swagger: Json) -> bytes:
    """The document `{"swagger", "info", "paths", "definitions"}`."""
    info = swagger["info"]
    paths = b"".join(_field(2, _named(path, _path_item(item))) for path, item in swagger["paths"].items())
    definitions = b"".join(_field(1, _named(n, _schema(s))) for n, s in swagger["definitions"].items())
    return (
        _text(1, swagger["swagger"])
        + _field(2, _text(1, info["title"]) + _text(2, info["version"]))
        + _field(8, paths)
        + _field(9, definitions)
    )


def _path_item(found: Json) -> bytes:
    parts = [_field(number, _operation(found[name])) for name, number in _METHODS.items() if name in found]
    return b"".join(parts) + b"".join(_field(9, _parameter(p)) for p in found.get("parameters", ()))


def _operation(found: Json) -> bytes:
    parts = [_text(6, media) for media in found["produces"]]
    parts += [_text(7, media) for media in found.get("consumes", ())]
    parts += [_field(8, _parameter(parameter)) for parameter in found["parameters"]]
    answers = [
        _field(
            1,
            _named(
                code,
                _field(1, _text(1, answer["description"]) + _field(2, _field(1, _schema(answer["schema"])))),
            ),
        )
        for code, answer in found["responses"].items()
    ]
    return b"".join([*parts, _field(9, b"".join(answers)), *_extensions(found, 13)])


def _parameter(found: Json) -> bytes:
    """A ParametersItem, in the form that its place (`in`) has."""
    if found["in"] == "body":
        inner = _text(2, found["name"]) + _text(3, "body") + _flag(4) + _field(5, _schema(found["schema"]))
        return _field(1, _field(1, inner))
    in_path = found["in"] == "path"
    head = (_flag(1) if in_path else b"") + _text(2, found["in"]) + _text(4, found["name"])
    return _field(1, _field(2, _field(4 if in_path else 3, head + _text(5 if in_path else 6, found["type"]))))


def _schema(found: Json) -> bytes:
    parts = [_text(number, found[name]) for name, number in _TEXTS.items() if name in found]
    parts += [_text(19, name) for name in found.get("required", ())]
    extra = found.get("additionalProperties")
    if isinstance(extra, dict):
        parts.append(_field(21, _field(1, _schema(extra))))
    if "type" in found:
        parts.append(_field(22, _text(1, found["type"])))
    if "items" in found:
        parts.append(_field(23, _field(1, _schema(found["items"]))))
    if "properties" in found:
        inner = b"".join(_field(1, _named(n, _schema(s))) for n, s in found["properties"].items())
        parts.append(_field(25, inner))
    return b"".join([*parts, *_extensions(found, 31)])


def _extensions(found: Json, number: int) -> list[bytes]:
    return [
        _field(number, _named(name, _text(2, msgspec.json.encode(value).decode())))
        for name, value in found.items()
        if name.startswith("x-")
    ]


_TEXTS = {"$ref": 1, "format": 2, "description": 4}
_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _field(2, value)


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode())


def _flag(number: int) -> bytes:
    """A field that is true (wire type 0)."""
    return varint(number << 3) + b"\1"


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field (protobuf encoding, wire type 2)."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """A base 128 varint."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
