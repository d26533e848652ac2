"""An OpenAPI 2.0 document in protobuf, the form in which kubectl asks for it.

Of the message types of gnostic's OpenAPIv2.proto only what our document holds is written: info,
definitions, schemas. Every number below is a field's number there.
"""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]


def document(swagger: Json) -> bytes:
    """The document `{"swagger", "info", "definitions"}`."""
    info = swagger["info"]
    definitions = b"".join(_field(1, _named(n, _schema(s))) for n, s in swagger["definitions"].items())
    return (
        _text(1, swagger["swagger"])
        + _field(2, _text(1, info["title"]) + _text(2, info["version"]))
        + _field(8, b"")  # paths, of which kubectl reads nothing
        + _field(9, definitions)
    )


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
    for name, value in found.items():
        if name.startswith("x-"):
            parts.append(_field(31, _named(name, _text(2, msgspec.json.encode(value).decode()))))
    return b"".join(parts)


_TEXTS = {"$ref": 1, "format": 2, "description": 4}


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _field(2, value)


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode())


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
