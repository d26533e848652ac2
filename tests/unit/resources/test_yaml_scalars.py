"""Plain scalars as Kubernetes reads them."""

from __future__ import annotations

import pytest

from tsujiban.resources.yaml_scalars import Scalar, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("Yes", True),
        ("on", True),
        ("off", False),
        ("NO", False),
        ("y", "y"),
        ("N", "N"),
        ("20:21", "20:21"),
        ("190:20:30", "190:20:30"),
        ("2020-01-02", "2020-01-02"),
        ("1.2.3.4", "1.2.3.4"),
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("010", 8),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("08", 8.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-", "-"),
        (".", "."),
        ("1a", "1a"),
        ("0x", "0x"),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("9" * 500, "9" * 500),
    ],
)
def test_value(text: str, value: Scalar) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".inf", "-.Inf", "+.INF", "1e999"])
def test_what_json_has_no_number_for(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        resolve(text)
