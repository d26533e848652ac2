"""Addresses and CIDRs, with nothing that two parsers may read differently."""

from __future__ import annotations

import pytest

from tsujiban.resources import nets


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0",
        "10.0.0.01",
        "0x0a.0.0.1",
        "10.0.0.256",
        "::ffff:10.0.0.1",
        "fe80::1%eth0",
        "1::2::3",
        " 10.0.0.1",
        "10.0.0.1\n",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        nets.address(text)


@pytest.mark.parametrize(
    "text", ["10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/", "10.0.0.0/255.0.0.0", "::/129", "10.0.0.0/-1"]
)
def test_what_is_no_prefix_length(text: str) -> None:
    with pytest.raises(ValueError, match="prefix length"):
        nets.network(text)


def test_network_takes_an_address_and_masks_host_bits() -> None:
    assert str(nets.network("10.0.0.7")) == "10.0.0.7/32"
    assert str(nets.network("10.0.0.7/8")) == "10.0.0.0/8"
    assert str(nets.network("0:0:0::/0")) == "::/0"


def test_a_cidr_has_its_prefix_length() -> None:
    with pytest.raises(ValueError, match="prefix length is missing"):
        nets.cidr("10.0.0.1")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.0/8", True),
        ("10.0.0.1", True),
        ("10.0.0.1/32", True),
        ("10.0.0.1/8", False),
        ("DEAD::/16", False),
    ],
)
def test_is_canonical(text: str, canonical: bool) -> None:
    assert nets.is_canonical(text) is canonical


def test_contains_never_crosses_versions() -> None:
    assert nets.contains(nets.network("10.0.0.0/8"), nets.network("10.1.0.0/16"))
    assert not nets.contains(nets.network("10.1.0.0/16"), nets.network("10.0.0.0/8"))
    assert not nets.contains(nets.network("::/0"), nets.network("10.0.0.0/8"))
    assert not nets.contains(nets.network("0.0.0.0/0"), nets.network("::1"))


def test_overlap_is_either_within_the_other() -> None:
    wide, part, other = (nets.network(text) for text in ("10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"))
    assert nets.overlap(wide, part)
    assert nets.overlap(part, wide)
    assert not nets.overlap(wide, other)
    assert not nets.overlap(wide, nets.network("::/0"))
