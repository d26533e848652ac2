from __future__ import annotations

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
