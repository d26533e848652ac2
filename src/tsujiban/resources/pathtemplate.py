"""Istio's path templates: `{*}` is one segment, `{**}` is any number of them, once and last but one.

Source: Istio's AuthorizationPolicy reference, `paths` (Envoy's URI template matcher).
"""

from __future__ import annotations

import re

_ONE = r"[^/]+"
_MANY = r".*"
_LITERAL = re.compile(r"[a-zA-Z0-9\-._~!$&'()+,;:@=%*]*")
_OPERATORS = {"{*}": _ONE, "{**}": _MANY}


class TemplateError(ValueError):
    """Not a path template."""


def is_template(text: str) -> bool:
    """Whether a path clause is a template, and not a plain string or wildcard."""
    return "{" in text or "}" in text


def pattern(text: str) -> re.Pattern[str]:
    """The regular expression (linear: no nested repetition) that a whole path must match.

    Raises TemplateError.
    """
    if not text.startswith("/"):
        raise TemplateError("a path template starts with '/'")
    parts: list[str] = []
    many_at: int | None = None
    segments = text[1:].split("/")
    for index, segment in enumerate(segments):
        if many_at is not None and segment in _OPERATORS:
            raise TemplateError("no {*} or {**} may follow {**}")
        if segment == "{**}":
            many_at = index
        elif segment not in _OPERATORS and ("{" in segment or "}" in segment):
            raise TemplateError("{*} and {**} stand alone between slashes")
        elif segment not in _OPERATORS and not _LITERAL.fullmatch(segment):
            raise TemplateError(f"{segment[:64]!r} cannot be part of a path")
        parts.append(_OPERATORS.get(segment) or re.escape(segment))
    return re.compile("/" + "/".join(parts), re.DOTALL)
