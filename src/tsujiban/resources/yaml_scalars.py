"""What a plain YAML scalar means to Kubernetes: the schema of sigs.k8s.io/yaml (go-yaml v2).

It differs from YAML 1.1 as PyYAML reads it: `20:21` is a string (no sexagesimal numbers), a date
is a string. `yes`, `no`, `on` and `off` are booleans, as in kubectl. One thing is taken more kindly:
`y` and `n` are strings, as go-yaml v3 and PyYAML write and read them; kubectl makes them booleans.
"""

from __future__ import annotations

import re
from math import isfinite

Scalar = str | int | float | bool | None

_TRUE = frozenset(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"))
_FALSE = frozenset(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"))
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_NOT_FINITE = frozenset(
    sign + word
    for sign, words in (
        ("", (".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF")),
        ("+", (".inf", ".Inf", ".INF")),
        ("-", (".inf", ".Inf", ".INF")),
    )
    for word in words
)
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NUMBER_START = frozenset("+-.0123456789")
_LONGEST_NUMBER = 400  # characters; longer is a string, for no number that fits needs them

BOOLEAN_WORDS = (_TRUE | _FALSE) - {"true", "false"}
"""Words that are booleans to Kubernetes though few expect it."""


def resolve(text: str) -> Scalar:
    """The value of a plain scalar.

    Raises ValueError for NaN, infinities and numbers that do not fit in 64 bits.
    """
    first = text[:1]
    if first in _NUMBER_START and first:
        return _number(text)
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    return text


def _number(text: str) -> str | int | float:
    if text in _NOT_FINITE:
        raise ValueError(f"{text} is not a number that JSON has")
    if len(text) > _LONGEST_NUMBER:
        return text
    plain = text.replace("_", "") if "_" in text else text
    if _INTEGER.fullmatch(plain):
        return _integer(plain)
    if _FLOAT.fullmatch(plain):
        number = float(plain)
        if not isfinite(number):
            raise ValueError(f"{text} is larger than a number may be")
        return number
    return text


def _integer(plain: str) -> int | float:
    digits = plain.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0":
        base = {"x": 16, "b": 2, "o": 8}.get(digits[1].lower(), 8)
        value = int(digits[2:] if digits[1].isalpha() else digits[1:], base)
        value = -value if plain[0] == "-" else value
    else:
        value = int(plain)
    if -(2**63) <= value < 2**64:
        return value
    return float(value)
