"""HTTP paths as Envoy's predicates: what a clause means on the path that Envoy has normalised.

Envoy decodes escapes of unreserved characters, removes dot segments, merges slashes and refuses
escaped ones before authorization looks; the application is sent that same path
(`resources.httppath.forwarded`). What is left to the predicates: escapes of other characters, path
parameters (`;...`), which many servers cut off, and the query, which is no part of the path.
"""

from __future__ import annotations

import re

from tsujiban.policy.program import PathMatch, StringMatch
from tsujiban.proxy.decisions import AnyOf, Not, Settled, Text

HTTP = Text(header=":method", regex=".+")
"""Holds for every HTTP request, and for nothing else."""

NOTHING = Text(header=":method", regex="$.")
"""Holds for no HTTP request, but needs one to be known."""

_TAIL = "%[89abAB][0-9a-fA-F]"
_ESCAPES = (
    "%[2-7][0-9a-eA-E]|%[2-6][fF]",  # ASCII, but no control character
    f"%[cC][2-9a-fA-F]{_TAIL}|%[dD][0-9a-fA-F]{_TAIL}",
    f"%[eE]0%[abAB][0-9a-fA-F]{_TAIL}|%[eE][1-9a-cA-CefEF]{_TAIL}{_TAIL}",
    f"%[eE][dD]%[89][0-9a-fA-F]{_TAIL}",
    f"%[fF]0%[9abAB][0-9a-fA-F]{_TAIL}{_TAIL}|%[fF][1-3]{_TAIL}{_TAIL}{_TAIL}",
    f"%[fF]4%8[0-9a-fA-F]{_TAIL}{_TAIL}",
)
_LEGIBLE = r"/([^?%\x00-\x1f\x7f]|" + "|".join(_ESCAPES) + r")*(\?.*)?"
_TRAP = r"[^?]*(%2[eEfF]|%5[cC]|%3[bB]|%25[0-9a-fA-F][0-9a-fA-F]|/\.\.?;)[^?]*(\?.*)?"

AMBIGUOUS = AnyOf(terms=(Not(term=Text(header=":path", regex=_LEGIBLE)), Text(header=":path", regex=_TRAP)))
"""Holds for paths that two parsers may read differently, even once Envoy has normalised them: what
does not begin with a slash, escapes that are none, are no UTF-8 or are control characters; an
encoded dot, slash, backslash or semicolon; an encoded escape; a dot segment with a parameter. No path
clause holds for them."""

_QUERY = r"(\?.*)?"
_PARAMETERS = r"(/?;[^/?;]*)*"  # of a segment, and of empty segments after it


def path(clause: PathMatch) -> Settled:
    """A path clause: `exact`, or `prefix` on segment boundaries. The normal form ends in no slash;
    Envoy keeps that slash, so both spellings are the same path here."""
    base = (clause.exact if clause.exact is not None else clause.prefix or "").rstrip("/")
    if clause.exact is not None:
        return Text(header=":path", regex=_literal(base) + _PARAMETERS + "/?" + _PARAMETERS + _QUERY)
    if not base:
        return Text(header=":path", prefix="/")
    return Text(header=":path", regex=_literal(base) + _PARAMETERS + "(/[^?]*)?" + _QUERY)


def value(one: StringMatch) -> Settled:
    """An AuthorizationPolicy's value on the path. Here the last slash counts."""
    if one.present:
        return Text(header=":path", regex=".+")
    if one.exact is not None:
        return Text(header=":path", regex=_whole(one.exact) + _QUERY)
    if one.suffix is not None:
        return _suffix(one.suffix)
    if one.template is not None:
        return Text(header=":path", regex=_template(one.template) + _QUERY)
    if one.prefix in {"", "/"}:
        return Text(header=":path", prefix="/")
    prefix = one.prefix or ""
    rest = r"(;[^/?]*/)*([^;/?][^?]*)?" if prefix.endswith("/") else "[^?]*"
    return Text(header=":path", regex=_literal(prefix) + rest + _QUERY)


def _whole(text: str) -> str:
    if text == "/":
        return f"(/|{_PARAMETERS}/?)"
    return _literal(text) + ("" if text.endswith("/") else _PARAMETERS)


def _suffix(text: str) -> Settled:
    if text == "/":
        return Text(header=":path", regex=r"([^?]*/|(/;[^/?]*)+)" + _QUERY)
    before = "[^?]*" if text.startswith("/") else r"(/[^/;?]*|;[^/?;]*)*/[^/;?]*"
    return Text(header=":path", regex=before + _whole(text) + _QUERY)


def _literal(text: str) -> str:
    """A literal part of a path, however a client may have escaped it, with any parameters."""
    out = ""
    for character in text:
        if character == "/":
            out += _PARAMETERS + "/"
        elif re.fullmatch(r"[A-Za-z0-9_.~-]", character):
            out += re.escape(character)
        else:
            escapes = "".join(f"%(?i:{byte:02x})" for byte in character.encode())
            out += f"({re.escape(character)}|{escapes})"
    return out


def template(text: str) -> str:
    """A path template as an RE2 expression: `{*}` is one segment, `{**}` any number."""
    return "".join({"{*}": "[^/?]+", "{**}": "[^?]*"}.get(part, re.escape(part)) for part in _parts(text))


def _parts(text: str) -> list[str]:
    return re.split(r"(\{\*\*?\})", text)


def _template(text: str) -> str:
    out = ""
    for part in _parts(text):
        if part == "{*}":
            out += "[^/;?]+"
        elif part == "{**}":
            out += "[^?]*"
        else:
            out += _literal(part)
    return out + ("" if text.endswith("/") else _PARAMETERS)
