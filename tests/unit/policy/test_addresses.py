from __future__ import annotations

import pytest

from tsujiban.policy import addresses


@pytest.mark.parametrize(
    ("net", "address", "inside"),
    [
        ("10.0.0.0/24", "10.0.0.0", True),
        ("10.0.0.0/24", "10.0.0.255", True),
        ("10.0.0.0/24", "10.0.1.0", False),
        ("10.0.0.0/24", "9.255.255.255", False),
        ("10.0.0.7/24", "10.0.0.1", True),  # host bits are ignored
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1/32", "10.0.0.2", False),
        ("0.0.0.0/0", "203.0.113.9", True),
        ("fd00::/8", "fdff::1", True),
        ("fd00::/8", "fe00::1", False),
        ("fd00:0::1", "fd00::1", True),
        ("::/0", "10.0.0.1", False),  # never across IP versions
        ("0.0.0.0/0", "::a00:1", False),
        ("10.0.0.0/8", "10.1.0.0/16", True),
        ("10.1.0.0/16", "10.0.0.0/8", False),
        ("0.0.0.0/0", "@x/a", False),  # an address that is not known is in no network
        ("::/0", "@x/a", False),
    ],
)
def test_contains(net: str, address: str, inside: bool) -> None:
    assert addresses.contains(net, address) is inside


@pytest.mark.parametrize(
    ("text", "canonical", "host"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1/32", "10.0.0.1", True),
        ("10.0.0.1/31", "10.0.0.0/31", False),
        ("FD00:0:0::1/128", "fd00::1", True),
        ("fd00::ff/64", "fd00::/64", False),
        ("@x/a", "@x/a", True),
    ],
)
def test_one_text_for_one_address(text: str, canonical: str, host: bool) -> None:
    assert addresses.canonical(text) == canonical
    assert addresses.is_host(text) is host


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.01", "10.0.0.1/33", "fe80::1%eth0", "x/a"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        addresses.canonical(text)
    with pytest.raises(ValueError, match="not a"):
        addresses.span(text)


@pytest.mark.parametrize(("text", "version"), [("10.0.0.1", 4), ("fd00::1", 6), ("@x/a", 0)])
def test_version(text: str, version: int) -> None:
    assert addresses.version(text) == version


def test_a_stand_in_is_told_from_every_address() -> None:
    assert addresses.version(addresses.stand_in("x/a")) == 0
    assert addresses.stand_in("x/a") != addresses.stand_in("x/b")
