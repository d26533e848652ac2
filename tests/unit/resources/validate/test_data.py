"""What may be in a ConfigMap and in a Secret."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources import load
from tsujiban.resources.validate import data

KEY = "a valid config key must consist of"


def told(kind: str, **fields: Any) -> dict[str, str]:
    raw = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": "default"}, **fields}
    return {finding.field: finding.message for finding in load.check(raw).findings}


def test_what_is_right() -> None:
    assert told("Secret", data={"a.b-C_1": "MQ==", "empty": "", "lines": "MTIz\nNDU2\n"}, type="Opaque") == {}
    assert told("ConfigMap", data={"a": "\u00fc"}, binaryData={"b": "/w=="}) == {}


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("a/b", KEY),
        ("", KEY),
        (".", "must not be '.'"),
        ("..", "must not be '..'"),
        ("..a", "must not start with '..'"),
        ("x" * 254, "must be no more than 253 characters"),
    ],
)
def test_keys_are_names_of_files(kind: str, key: str, message: str) -> None:
    (found,) = told(kind, data={key: ""}).values()
    assert found.startswith(f'Invalid value: "{key[:64]}": {message}')


def test_values() -> None:
    assert told("Secret", data={"a": "!"}) == {"data.a": "illegal base64 data"}
    assert told("ConfigMap", binaryData={"a": "MQ"}) == {"binaryData.a": "illegal base64 data"}
    twice = told("ConfigMap", data={"a": ""}, binaryData={"a": ""})
    assert twice == {"binaryData.a": "duplicate of key present in data"}


def test_all_together_they_are_bounded() -> None:
    half = "x" * (data.MAX_BYTES // 2 + 1)
    assert list(told("ConfigMap", data={"a": half})) == []
    assert list(told("ConfigMap", data={"a": half, "b": half})) == ["data"]
