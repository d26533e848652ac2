"""HTTP paths as Envoy's predicates: what a clause means on the path that Envoy has normalised.

Envoy decodes unreserved characters, removes dot segments, merges slashes and refuses escaped ones
before authorization looks; the application is sent that same path. `:path` holds the query as
well, which is no part of the path.
"""

from __future__ import annotations

from tsujiban.policy.program import PathMatch
from tsujiban.proxy.decisions import Settled, Text, any_of

HTTP = Text(header=":method", regex=".+")
"""Holds for every HTTP request, and for nothing else."""

NOTHING = Text(header=":method", regex="$.")
"""Holds for no HTTP request, but needs one to be known."""

AMBIGUOUS = Text(
    header=":path",
    regex=r"([^/].*)?|[^?]*(%00|%2[eEfF]|%5[cC]|%3[bB]|%25[0-9a-fA-F][0-9a-fA-F]|/\.\.?;)[^?]*(\?.*)?",
)
"""Holds for paths that two parsers may read differently, even once Envoy has normalised them:
encoded NUL, dot, slash, backslash or semicolon, an encoded escape, a dot segment with a parameter,
and what does not begin with a slash. No path clause holds for them."""


def path(clause: PathMatch) -> Settled:
    """A path clause: `exact`, or `prefix` on segment boundaries. The normal form ends in no slash;
    Envoy keeps that slash, so both spellings are the same path here."""
    if clause.exact is not None:
        base = clause.exact.rstrip("/")
        ends = ["", "/"] if base else ["/"]
        return any_of([_spelling(base + end) for end in ends])
    base = (clause.prefix or "").rstrip("/")
    if not base:
        return Text(header=":path", prefix="/")
    return any_of([_spelling(base), Text(header=":path", prefix=base + "/")])


def _spelling(text: str) -> Settled:
    return any_of([Text(header=":path", exact=text), Text(header=":path", prefix=text + "?")])
