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
_UNRESERVED = re.compile(r"%(2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])")
_DOT_WITH_PARAMETER = re.compile(r"/\.\.?;")
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
    """The normal form of what the application is sent (`forwarded`), or None also for a path that
    servers are known to read in different ways: an escaped slash, backslash or semicolon, a dot segment
    with a parameter, a `..` after an empty segment (`order_matters`). `policy.evaluate` denies what this
    refuses; the proxy refuses all but the last, of which it sees and sends on only what is left."""
    if _PLAIN.fullmatch(path) and len(path) <= MAX_LENGTH:
        return path
    bare = re.split("[?#]", path, maxsplit=1)[0]
    if order_matters(bare):
        return None
    sent = forwarded(bare)
    if _ESCAPED_DELIMITER.search(bare) or _ESCAPED_DELIMITER.search(sent) or _DOT_WITH_PARAMETER.search(sent):
        return None
    return normalize(sent)


def forwarded(path: str) -> str:
    """A path without query as the proxy sends it on, which is the one that it judges: backslashes are
    slashes, dot segments are removed (empty segments count as segments there, and there is nothing above
    the root), then slashes are merged. Escapes of letters, digits, and of `-._~` are decoded, once."""
    if path[:1] not in ("/", "\\"):
        return path
    kept: list[str] = []
    plain = _UNRESERVED.sub(lambda found: chr(int(found[1], 16)), path)
    segments = plain.replace("\\", "/").split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return re.sub("/+", "/", "/" + "/".join(kept))


def order_matters(path: str) -> bool:
    """Whether a path without query is another one when slashes are merged before dot segments are removed,
    as Calico and many servers do: `/a//../b` is `/a/b` to Envoy, and `/b` to them."""
    if "//" not in path and "\\" not in path:
        return False
    merged = re.sub(r"[/\\]+", "/", path)
    return forwarded(merged) != forwarded(path)


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
