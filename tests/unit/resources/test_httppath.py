"""HTTP paths: one normal form, none for what is ambiguous."""

from __future__ import annotations

import pytest

from tsujiban.resources.httppath import (
    MAX_LENGTH,
    forwarded,
    hardened,
    matches,
    matches_method,
    normalize,
    order_matters,
)


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/a/b", "/a/b"),
        ("/a//b/./c/../d/", "/a/b/d"),
        ("/a%20b", "/a b"),
        ("/%C3%A9", "/é"),
        ("/%c3", None),
        ("/a\x7f", None),
        ("/a\n", None),
        ("/" + "a" * MAX_LENGTH, None),
        ("/%2525", None),
        ("/%25", "/%"),
        ("/\ud800%20", None),
    ],
)
def test_normal_form(path: str, normal: str | None) -> None:
    assert normalize(path) == normal


@pytest.mark.parametrize(
    "path",
    [
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a%3Bb",
        "/a/..;x/b",
        "/a/.;/b",
    ],
)
def test_what_servers_read_differently_has_no_hardened_form(path: str) -> None:
    assert hardened(path) is None


@pytest.mark.parametrize(
    ("path", "normal"), [("/a/../b", "/b"), ("/a;x=1/b", "/a/b"), ("/a?x=..%2f", "/a"), ("/x%66", "/xf")]
)
def test_what_is_plain_has_one(path: str, normal: str) -> None:
    assert hardened(path) == normal == normalize(path)


@pytest.mark.parametrize(
    ("path", "sent", "normal"),
    [
        ("/..", "/", "/"),
        ("/a/../../b", "/b", "/b"),
        ("/a/%2e%2e/%2E./b", "/b", "/b"),
        ("/a\\..\\b", "/b", "/b"),
        ("/a//../b", "/a/b", None),  # Envoy removes the empty segment; who merges slashes first is at /b
        ("/a\\/%2e./b", "/a/b", None),
        ("//../b", "/b", "/b"),
        ("//a", "/a", "/a"),
        ("/a/b/..", "/a/", "/a"),
        ("/a/.", "/a/", "/a"),
        ("/a//", "/a/", "/a"),
        ("/a;x/../b", "/b", "/b"),
        ("*", "*", None),
    ],
)
def test_what_is_judged_is_what_the_application_is_sent(path: str, sent: str, normal: str | None) -> None:
    assert forwarded(path) == sent
    assert hardened(path) == normal


@pytest.mark.parametrize(
    ("path", "matters"),
    [("/a//../b", True), ("/a\\\\..", True), ("/a//b/../c", False), ("/a/../b", False), ("//", False)],
)
def test_slashes_or_dots_first(path: str, matters: bool) -> None:
    assert order_matters(path) is matters


def test_clauses() -> None:
    assert matches("/a/b", prefix="/a")
    assert matches("/a", prefix="/a")
    assert not matches("/ab", prefix="/a")
    assert matches("/ab", prefix="/")
    assert matches("/a", exact="/a")
    assert not matches("/a/b", exact="/a")
    assert matches("/a")


def test_no_path_matches_no_clause() -> None:
    assert not matches(None)
    assert not matches(None, prefix="/")
    assert not matches(None, exact="/")


def test_methods() -> None:
    assert matches_method("GET", ())
    assert matches_method("GET", ["*"])
    assert matches_method("GET", ["HEAD", "GET"])
    assert not matches_method("GET", ["get"])
