"""`labelSelector` and `fieldSelector` of list and watch requests.

Source: Kubernetes "Labels and Selectors" (equality- and set-based) and "Field Selectors".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from typing import Any

from tsujiban.controller.api.errors import bad_request

Json = dict[str, Any]
Predicate = Callable[[Json], bool]

_MAX_LENGTH = 16_384
_KEY = r"(?P<key>[A-Za-z0-9](?:[-A-Za-z0-9_./]{0,315}[A-Za-z0-9])?)"
_VALUE = r"[-A-Za-z0-9_.]*"
_SET = re.compile(rf"{_KEY}\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUAL = re.compile(rf"{_KEY}\s*(?P<operator>==?|!=)\s*(?P<values>{_VALUE})")
_PATH = re.compile(r"[A-Za-z0-9_.]+")
_EXISTS = re.compile(rf"(?P<operator>!?)\s*{_KEY}")


def label_selector(text: str) -> Predicate | None:
    """A predicate on objects; None when the selector is empty and so takes everything.

    Raises:
        ApiError: it is not a selector.
    """
    if len(text) > _MAX_LENGTH:
        raise bad_request(f"the label selector is longer than {_MAX_LENGTH} characters")
    requirements = [_requirement(part.strip()) for part in _split(text)]
    if not requirements:
        return None

    def selects(document: Json) -> bool:
        labels = document["metadata"].get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return selects


def field_selector(text: str, known: Container[str] | None = None) -> Predicate | None:
    """As `label_selector`, on fields: `metadata.name=a,spec.nodeName!=n`. A missing field is "".

    Raises:
        ApiError: it is not a selector, or names a field that is not `known` (None: any may be named).
    """
    terms = _terms(text)
    if not terms:
        return None
    for path, _, _ in terms:
        if known is not None and ".".join(path) not in known:
            raise bad_request(f"field label not supported: {'.'.join(path)}")

    def selects(document: Json) -> bool:
        return all((_field(document, path) == value) is wanted for path, value, wanted in terms)

    return selects


def demanded(text: str, field: str) -> str:
    """The value that a field selector demands of a field, by `=`; "" when it demands none.

    What satisfies the selector has that value in that field, whatever else the selector says.

    Raises:
        ApiError: 400.
    """
    path = tuple(field.split("."))
    return next((value for found, value, wanted in _terms(text) if wanted and found == path), "")


def both(one: Predicate | None, other: Predicate | None) -> Predicate | None:
    """The conjunction."""
    if one is None or other is None:
        return one or other
    return lambda document: one(document) and other(document)


def _split(text: str) -> list[str]:
    """At the commas outside of parentheses."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return parts if text.strip() else []


def _requirement(part: str) -> Callable[[Mapping[str, str]], bool]:
    if match := _SET.fullmatch(part):
        values = frozenset(value.strip() for value in match["values"].split(","))
    elif match := _EQUAL.fullmatch(part):
        values = frozenset((match["values"],))
    elif match := _EXISTS.fullmatch(part):
        key, wanted = match["key"], match["operator"] == ""
        return lambda labels: (key in labels) is wanted
    else:
        raise bad_request(f"unable to parse the label selector: {part!r}")
    key = match["key"]
    if match["operator"] in ("in", "=", "=="):
        return lambda labels: key in labels and labels[key] in values
    return lambda labels: key not in labels or labels[key] not in values


def _terms(text: str) -> list[tuple[tuple[str, ...], str, bool]]:
    """Path, value, and whether it is to be that value, of each term of a field selector."""
    if len(text) > _MAX_LENGTH:
        raise bad_request(f"the field selector is longer than {_MAX_LENGTH} characters")
    return [_term(part) for part in text.split(",") if part.strip()]


def _term(part: str) -> tuple[tuple[str, ...], str, bool]:
    """By hand: it is read before rights are asked, and a pattern with two runs of blanks takes a square of
    time for a long one."""
    field, _, value = part.partition("=")
    wanted = not field.endswith("!")
    if wanted:
        value = value.removeprefix("=")
    path = field.removesuffix("!").strip()
    if not _PATH.fullmatch(path) or "=" not in part:
        raise bad_request(f"unable to parse the field selector: {part[:256]!r}")
    return tuple(path.split(".")), value.strip(), wanted


def _field(document: Json, path: tuple[str, ...]) -> str:
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, bool):
        return str(found).lower()
    return "" if found is None or isinstance(found, dict | list) else str(found)
