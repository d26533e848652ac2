from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.api import gnostic


@pytest.mark.parametrize(
    ("number", "written"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")]
)
def test_varints(number: int, written: bytes) -> None:
    assert gnostic.varint(number) == written


def test_a_document_is_its_messages_one_in_the_other() -> None:
    swagger = {
        "swagger": "2.0",
        "info": {"title": "T", "version": "1"},
        "paths": {},
        "definitions": {
            "D": {"type": "object", "x-a": [1], "properties": {"p": {"$ref": "#/definitions/D"}}}
        },
    }
    reference = b"\x0a\x0f#/definitions/D"
    prop = b"\x0a\x16" + b"\x0a\x01p\x12\x11" + reference
    schema = (
        b"\xb2\x01\x08\x0a\x06object" + b"\xca\x01\x18" + prop + b"\xfa\x01\x0c\x0a\x03x-a\x12\x05\x12\x03[1]"
    )
    named = b"\x0a\x01D\x12" + bytes([len(schema)]) + schema
    definitions = b"\x0a" + bytes([len(named)]) + named
    expected = b"\x0a\x032.0\x12\x06\x0a\x01T\x12\x011\x42\x00\x4a" + bytes([len(definitions)]) + definitions
    assert gnostic.document(swagger) == expected


def test_paths_are_written_with_their_operations_and_parameters() -> None:
    """As gnostic's own reader sees them: read back by the numbers of its OpenAPIv2.proto."""
    name = {"name": "name", "in": "path", "required": True, "type": "string"}
    patch = {
        "produces": ["application/json"],
        "consumes": ["a/b"],
        "parameters": [
            {"name": "dryRun", "in": "query", "type": "string", "enum": ["All"]},
            {"name": "body", "in": "body", "required": True, "schema": {"type": "object"}},
        ],
        "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/D"}}},
        "x-kind": {"kind": "D"},
    }
    swagger = {
        "swagger": "2.0",
        "info": {"title": "T", "version": "1"},
        "paths": {"/d": {"patch": patch, "parameters": [name]}},
        "definitions": {},
    }
    path = _read(_read(_read(gnostic.document(swagger))[8][0])[2][0])
    assert path[1] == [b"/d"]
    item = _read(path[2][0])
    in_path = _read(_read(_read(_read(item[9][0])[1][0])[2][0])[4][0])
    assert (in_path[1], in_path[2], in_path[4], in_path[5]) == ([1], [b"path"], [b"name"], [b"string"])
    operation = _read(item[8][0])
    assert (operation[6], operation[7]) == ([b"application/json"], [b"a/b"])
    in_query, body = (_read(_read(parameter)[1][0]) for parameter in operation[8])
    said = _read(_read(in_query[2][0])[3][0])
    assert (said[2], said[4], said[6]) == ([b"query"], [b"dryRun"], [b"string"])
    held = _read(body[1][0])
    assert (held[2], held[3], held[4], held[5]) == (
        [b"body"],
        [b"body"],
        [1],
        [b"\xb2\x01\x08\x0a\x06object"],
    )
    answer = _read(_read(operation[9][0])[1][0])
    response = _read(_read(answer[2][0])[1][0])
    assert (answer[1], response[1]) == ([b"200"], [b"OK"])
    assert _read(_read(response[2][0])[1][0]) == {1: [b"#/definitions/D"]}
    extension = _read(operation[13][0])
    assert (extension[1], _read(extension[2][0])) == ([b"x-kind"], {2: [b'{"kind":"D"}']})


def _read(message: bytes) -> dict[int, list[Any]]:
    """A protobuf message as its fields."""
    found: dict[int, list[Any]] = {}
    place = 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(message):
        tag, value = number(), number()
        if tag & 7 == 2:
            found.setdefault(tag >> 3, []).append(message[place : place + value])
            place += value
        else:
            found.setdefault(tag >> 3, []).append(value)
    return found
