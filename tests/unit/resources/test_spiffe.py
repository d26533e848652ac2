"""The rules of the SPIFFE-ID standard, one by one."""

from __future__ import annotations

import pytest

from tsujiban.resources.names import node_identity, workload_identity
from tsujiban.resources.spiffe import SpiffeId, Workload, node, parse, workload


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spiffe://bank.local", SpiffeId("bank.local", "")),
        ("spiffe://bank.local/ns/default/sa/web", SpiffeId("bank.local", "/ns/default/sa/web")),
        ("spiffe://a_b-c.d1/X/y.z/...", SpiffeId("a_b-c.d1", "/X/y.z/...")),
        ("spiffe://1.2.3.4/service", SpiffeId("1.2.3.4", "/service")),
        ("spiffe://" + "a" * 255, SpiffeId("a" * 255, "")),
    ],
)
def test_valid(text: str, expected: SpiffeId) -> None:
    assert parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bank.local/ns/a/sa/b",
        "https://bank.local/a",
        "SPIFFE://bank.local/a",
        " spiffe://bank.local/a",
        "spiffe:/bank.local/a",
        "spiffe://",
        "spiffe:///a",
        "spiffe://Bank.local/a",
        "spiffe://bank.local:443/a",
        "spiffe://user@bank.local/a",
        "spiffe://b\u00e4nk.local/a",
        "spiffe://bank.local\n",
        "spiffe://bank%2elocal/a",
        "spiffe://bank.local?q",
        "spiffe://" + "a" * 256,
        "spiffe://bank.local/",
        "spiffe://bank.local/a/",
        "spiffe://bank.local//a",
        "spiffe://bank.local/a/./b",
        "spiffe://bank.local/a/../b",
        "spiffe://bank.local/a%2fb",
        "spiffe://bank.local/a?q=1",
        "spiffe://bank.local/a#f",
        "spiffe://bank.local/a b",
        "spiffe://bank.local/a\n",
        "spiffe://bank.local/a\x00",
        "spiffe://bank.local/\u0661",
        "spiffe://bank.local/\ud800",
        "spiffe://bank.local/" + "a" * 2048,
    ],
)
def test_invalid(text: str) -> None:
    assert parse(text) is None


def test_length_limit_is_exact() -> None:
    head = "spiffe://bank.local/"
    assert parse(head + "a" * (2048 - len(head)))
    assert parse(head + "a" * (2049 - len(head))) is None


def test_our_own_names_are_valid() -> None:
    assert workload(workload_identity("bank.local", "default", "web")) == Workload(
        "bank.local", "default", "web"
    )
    assert node(node_identity("bank.local", "node-1")) == "node-1"


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://bank.local",
        "spiffe://bank.local/node/node-1",
        "spiffe://bank.local/ns/a/sa",
        "spiffe://bank.local/ns/a/sa/b/c",
        "spiffe://bank.local/x/ns/a/sa/b",
        "spiffe://bank.local/ns/A/sa/b",
        "spiffe://bank.local/NS/a/sa/b",
        "spiffe://bank.local/ns/a/sa/-b",
    ],
)
def test_not_a_workload(text: str) -> None:
    assert workload(text) is None


@pytest.mark.parametrize(
    "text", ["spiffe://bank.local/node", "spiffe://bank.local/node/a/b", "spiffe://bank.local/ns/a/sa/b"]
)
def test_not_a_node(text: str) -> None:
    assert node(text) is None
