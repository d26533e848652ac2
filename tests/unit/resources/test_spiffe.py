"""The rules of the SPIFFE-ID standard, one by one."""

from __future__ import annotations

import pytest

from tsujiban.resources.names import node_identity, workload_identity
from tsujiban.resources.spiffe import SpiffeId, SpiffeIdError, parse_spiffe_id, parse_trust_domain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spiffe://bank.local", SpiffeId("bank.local")),
        ("spiffe://bank.local/ns/default/sa/web", SpiffeId("bank.local", "/ns/default/sa/web")),
        ("spiffe://a_b-c.d1/X/y.z/...", SpiffeId("a_b-c.d1", "/X/y.z/...")),
        ("spiffe://1.2.3.4/service", SpiffeId("1.2.3.4", "/service")),
        ("spiffe://" + "a" * 255, SpiffeId("a" * 255)),
    ],
)
def test_valid(text: str, expected: SpiffeId) -> None:
    assert parse_spiffe_id(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not begin"),
        ("bank.local/ns/a/sa/b", "does not begin"),
        ("https://bank.local/a", "does not begin"),
        ("SPIFFE://bank.local/a", "does not begin"),
        (" spiffe://bank.local/a", "does not begin"),
        ("spiffe:/bank.local/a", "does not begin"),
        ("spiffe://", "empty"),
        ("spiffe:///a", "empty"),
        ("spiffe://Bank.local/a", "lower-case"),
        ("spiffe://bank.local:443/a", "lower-case"),
        ("spiffe://user@bank.local/a", "lower-case"),
        ("spiffe://b\u00e4nk.local/a", "lower-case"),
        ("spiffe://bank.local\n", "lower-case"),
        ("spiffe://bank%2elocal/a", "lower-case"),
        ("spiffe://bank.local?q", "lower-case"),
        ("spiffe://" + "a" * 256, "longer than 255"),
        ("spiffe://bank.local/", "trailing slash"),
        ("spiffe://bank.local/a/", "trailing slash"),
        ("spiffe://bank.local//a", "empty path segment"),
        ("spiffe://bank.local/a/./b", "relative"),
        ("spiffe://bank.local/a/../b", "relative"),
        ("spiffe://bank.local/a%2fb", "only letters"),
        ("spiffe://bank.local/a?q=1", "only letters"),
        ("spiffe://bank.local/a#f", "only letters"),
        ("spiffe://bank.local/a b", "only letters"),
        ("spiffe://bank.local/a\n", "only letters"),
        ("spiffe://bank.local/a\x00", "only letters"),
        ("spiffe://bank.local/\u0661", "only letters"),
        ("spiffe://bank.local/\ud800", "only letters"),
        ("spiffe://bank.local/" + "a" * 2048, "longer than 2048"),
    ],
)
def test_invalid(text: str, reason: str) -> None:
    with pytest.raises(SpiffeIdError, match=reason):
        parse_spiffe_id(text)


def test_length_limit_is_exact() -> None:
    head = "spiffe://bank.local/"
    assert parse_spiffe_id(head + "a" * (2048 - len(head)))
    with pytest.raises(SpiffeIdError):
        parse_spiffe_id(head + "a" * (2049 - len(head)))


def test_messages_do_not_echo_long_or_raw_input() -> None:
    with pytest.raises(SpiffeIdError) as caught:
        parse_spiffe_id("spiffe://bank.local/" + "\x1b" * 500)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_principal_is_istios_form() -> None:
    assert parse_spiffe_id("spiffe://bank.local/ns/a/sa/b").principal == "bank.local/ns/a/sa/b"


def test_our_own_names_are_valid() -> None:
    assert parse_spiffe_id(workload_identity("bank.local", "default", "web")).path == "/ns/default/sa/web"
    assert parse_spiffe_id(node_identity("bank.local", "node-1")).path == "/node/node-1"


def test_trust_domain_alone() -> None:
    assert parse_trust_domain("bank.local") == "bank.local"
    with pytest.raises(SpiffeIdError):
        parse_trust_domain("bank.local/a")
