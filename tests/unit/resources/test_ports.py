"""Ports as Calico writes them."""

from __future__ import annotations

import pytest

from tsujiban.resources.ports import Range, parse


@pytest.mark.parametrize(
    ("text", "port"),
    [
        (80, Range(80, 80)),
        ("80", Range(80, 80)),
        ("20:21", Range(20, 21)),
        ("http", "http"),
        ("0:65535", Range(0, 65535)),
    ],
)
def test_ports(text: int | str, port: Range | str) -> None:
    assert parse(text) == port


@pytest.mark.parametrize("text", [-1, 65536, "65536", "21:20", "1:70000", "a b", "", "1:2:3", "http:"])
def test_what_is_no_port(text: int | str) -> None:
    with pytest.raises(ValueError, match=r"port|range"):
        parse(text)
