from __future__ import annotations

import re

import pytest

from tsujiban.policy.program import PathMatch
from tsujiban.proxy import paths
from tsujiban.proxy.decisions import AnyOf, Not, Predicate, Settled, Text


def holds(test: Settled | Predicate, path: str) -> bool:
    if isinstance(test, AnyOf):
        return any(holds(term, path) for term in test.terms)
    if isinstance(test, Not):
        return not holds(test.term, path)
    assert isinstance(test, Text)
    assert test.header == ":path"
    if test.prefix is not None:
        return path.startswith(test.prefix)
    return re.fullmatch(test.regex or "", path) is not None


@pytest.mark.parametrize("path", ["/a", "/a/", "/a?x=/b", "/a/?x"])
def test_exact_takes_the_path_with_or_without_query_and_last_slash(path: str) -> None:
    assert holds(paths.path(PathMatch(exact="/a")), path)


@pytest.mark.parametrize("path", ["/", "/ab", "/a/b", "/A", "/b?/a"])
def test_exact_takes_nothing_else(path: str) -> None:
    assert not holds(paths.path(PathMatch(exact="/a")), path)


@pytest.mark.parametrize(("path", "inside"), [("/a", 1), ("/a/b", 1), ("/a?b", 1), ("/ab", 0), ("/", 0)])
def test_a_prefix_ends_at_a_segment(path: str, inside: int) -> None:
    for prefix in ("/a", "/a/"):
        assert holds(paths.path(PathMatch(prefix=prefix)), path) is bool(inside)


def test_the_root_is_every_path_as_a_prefix_and_only_itself_as_an_exact_one() -> None:
    assert holds(paths.path(PathMatch(prefix="/")), "/x")
    assert not holds(paths.path(PathMatch(exact="/")), "/x")
    assert holds(paths.path(PathMatch(exact="/")), "/?x")


@pytest.mark.parametrize(
    "path",
    ["/a%00b", "/%2e%2E/x", "/a%5Cb", "/a%3Bb", "/a%252e", "/a/..;x/b", "/./.;/b", "*", "", "a/b", "/a%2525"],
)
def test_what_two_parsers_may_read_differently_is_ambiguous(path: str) -> None:
    assert holds(paths.AMBIGUOUS, path)


@pytest.mark.parametrize("path", ["/", "/a", "/a;x=1/b", "/a%20b", "/100%25", "/a?x=%2e%2e/..;", "/...;"])
def test_what_is_plain_is_not(path: str) -> None:
    assert not holds(paths.AMBIGUOUS, path)


def test_nothing_matches_nothing_and_http_every_method() -> None:
    for method in ("GET", "-", "$", ""):
        assert not re.fullmatch(paths.NOTHING.regex or "", method)
    assert re.fullmatch(paths.HTTP.regex or "", "GET")
