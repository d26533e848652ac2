"""Path clauses as Envoy's expressions against the definition, on what Envoy makes of a path."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.proxy.test_table import holds

from tsujiban.policy import authorize
from tsujiban.policy.program import PathMatch, StringMatch
from tsujiban.proxy import paths
from tsujiban.proxy.decisions import Settled
from tsujiban.resources import httppath

PIECES = (
    *("/", "/", "/", "a", "b", "ab", ".", "..", ";x", ";", "//"),
    *("%61", "%2e", "%2E", "%3a", ":", "%C3%A9", "%c3", "%20", "%25", "%2", "%00", "%0a", "%7f"),
    *("\\", "%2541"),
)
raw = st.lists(st.sampled_from(PIECES), max_size=8).map(lambda parts: "/" + "".join(parts))
LITERALS = ("/", "/a", "/a/", "/a/b", "/ab", "/:", "/é", "/a b", "/b")


def true(test: Settled, path: str) -> bool:
    assert not isinstance(test, bool)
    return holds(test, {":path": path, ":method": "GET"}, 0)


@settings(deadline=None, max_examples=600)
@given(raw, st.sampled_from(("", "?q=/a", "?")))
def test_what_is_ambiguous(path: str, query: str) -> None:
    normal = httppath.hardened(path + query)
    if httppath.order_matters(path):  # what Envoy has resolved before its predicates look
        assert normal is None
    else:
        assert true(paths.AMBIGUOUS, httppath.forwarded(path) + query) is (normal is None)


@settings(deadline=None, max_examples=600)
@given(raw, st.sampled_from(("", "?q=/a")), st.sampled_from(LITERALS), st.booleans())
def test_clauses_of_network_policies(path: str, query: str, literal: str, exact: bool) -> None:
    normal = httppath.hardened(path)
    literal = literal.rstrip("/") or "/"
    if normal is not None:
        clause = PathMatch(exact=literal) if exact else PathMatch(prefix=literal)
        expected = httppath.matches(normal, exact=clause.exact, prefix=clause.prefix)
        assert true(paths.path(clause), httppath.forwarded(path) + query) is expected


VALUES = (
    *(StringMatch(exact=text) for text in LITERALS),
    *(StringMatch(prefix=text) for text in LITERALS),
    *(StringMatch(suffix=text) for text in (*LITERALS, "b", "a/b", "é")),
    *(StringMatch(template=text) for text in ("/{*}", "/a/{*}", "/{**}", "/a/{**}", "/{*}/b", "/{**}/b")),
    StringMatch(present=True),
)


@settings(deadline=None, max_examples=1000)
@given(raw, st.sampled_from(("", "?q=/a")), st.sampled_from(VALUES))
def test_values_of_authorization_policies(path: str, query: str, value: StringMatch) -> None:
    judged = authorize.request_path(path)
    if judged is not None:
        assert true(paths.value(value), httppath.forwarded(path) + query) is authorize.string_matches(
            value, judged
        )
