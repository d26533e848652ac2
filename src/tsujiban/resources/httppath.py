"""HTTP paths: one normal form before any match, and no normal form for what is ambiguous.

A server and a proxy that read a path differently are how a rule is walked around, so a path
that might be read in two ways normalises to None, and None matches no clause. The form is that
of Calico's hardened matcher (RFC 3986 section 5.2.4 after percent-decoding): query and fragment
cut off, percent-escapes decoded once, backslash as slash, path parameters (`;…`) cut off, empty
and dot segments resolved, no trailing slash.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_LENGTH = 65_536
"""Longest path, in characters; Envoy's default limit of all headers is 60 KiB."""

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_ESCAPED_DELIMITER = re.compile(r"%(?:2[fF]|5[cC]|3[bB])")
_DOT = re.compile(r"%2[eE]")
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~$@+,=:*'()!-][A-Za-z0-9_~$@+,=:*'()!.-]*)+")


def normalize(path: str) -> str | None:
    """The normal form of a request's path, or None: not absolute, an escape that is none, an
    escaped escape, a control character, or bytes that are not UTF-8."""
    if _PLAIN.fullmatch(path) and len(path) <= MAX_LENGTH:
        return path
    path = re.split("[?#]", path, maxsplit=1)[0]
    if not path or path[0] not in "/\\" or len(path) > MAX_LENGTH:
        return None
    decoded = _decoded(path) if "%" in path else path
    if decoded is None or any(character < " " or character == "\x7f" for character in decoded):
        return None
    return _resolved(decoded.replace("\\", "/"))


def _decoded(path: str) -> str | None:
    """Percent-escapes decoded once, as UTF-8; None when the result could be decoded again."""
    if path.count("%") != len(_ESCAPE.findall(path)):
        return None
    try:
        data = path.encode()
        decoded = re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes((int(m[1], 16),)), data).decode()
    except UnicodeError:
        return None
    return None if _ESCAPE.search(decoded) else decoded


def _resolved(path: str) -> str:
    segments: list[str] = []
    for segment in path.split("/"):
        name = segment.partition(";")[0]
        if name in ("", "."):
            continue
        if name == "..":
            if segments:
                segments.pop()
        else:
            segments.append(name)
    return "/" + "/".join(segments)


def hardened(path: str) -> str | None:
    """The normal form, or None also for a path that servers are known to read in different ways:
    an escaped slash, backslash or semicolon, a backslash, a dot segment above the root or with a
    parameter. What the proxy refuses, and `policy.evaluate` denies, is what this refuses."""
    if _PLAIN.fullmatch(path) and len(path) <= MAX_LENGTH:
        return path
    bare = re.split("[?#]", path, maxsplit=1)[0]
    if "\\" in bare or _ESCAPED_DELIMITER.search(bare) or _climbs(bare):
        return None
    return normalize(path)


def _climbs(path: str) -> bool:
    """Whether a dot segment leads above the root, or carries a parameter."""
    depth = 0
    for segment in _DOT.sub(".", path).split("/"):
        name, parameter, _ = segment.partition(";")
        if name in (".", "..") and parameter:
            return True
        if name == "..":
            depth -= 1
            if depth < 0:
                return True
        elif name not in ("", "."):
            depth += 1
    return False


def matches(path: str | None, *, exact: str | None = None, prefix: str | None = None) -> bool:
    """Whether a path is `exact`, or is `prefix` or lies below it on a segment boundary.

    All are in normal form; None (ambiguous, or not HTTP) matches nothing, no clause matches all
    other paths.
    """
    if path is None:
        return False
    if exact is not None:
        return path == exact
    if prefix is not None:
        return prefix == "/" or path == prefix or path.startswith(prefix + "/")
    return True


def matches_method(method: str, wanted: Sequence[str]) -> bool:
    """Whether a method is one of `wanted` (case-sensitive; `*` is any; none is any)."""
    return not wanted or "*" in wanted or method in wanted
