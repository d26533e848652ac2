"""Protocol names and numbers."""

from __future__ import annotations

import pytest

from tsujiban.resources import protocols


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TCP", 6),
        ("tcp", 6),
        ("ICMPv6", 58),
        ("132", 132),
        (17, 17),
        ("0", None),
        (256, None),
        ("x", None),
        ("²", None),
    ],
)
def test_number(text: int | str, number: int | None) -> None:
    assert protocols.number(text) == number


def test_an_unknown_name_matches_nothing() -> None:
    assert not protocols.matches("protoX", 6)
    assert protocols.matches_not("protoX", 6)


def test_a_number_that_is_none_matches_nothing() -> None:
    for bad in (0, -30, 256):
        assert not protocols.matches(bad, bad)
        assert not protocols.matches_not("TCP", bad)


def test_name() -> None:
    assert protocols.name(6) == "TCP"
    assert protocols.name(99) == "99"
