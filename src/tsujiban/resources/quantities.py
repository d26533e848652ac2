"""Kubernetes' quantities: `500m`, `1.5Gi`, `2e3`.

Source: Kubernetes API reference, "Quantity".
"""

from __future__ import annotations

import re
from fractions import Fraction

_FORM = re.compile(
    r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,3}))?", re.ASCII
)
_LONGEST = 64
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def parse(text: str | int | float) -> Fraction:
    """The number that a quantity is. Raises ValueError."""
    text = str(text)
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise ValueError(f"{text[:_LONGEST]!r} is not a quantity, such as 500m or 1.5Gi")
    number, suffix, exponent = found.groups()
    value = Fraction(number.removesuffix("."))
    if suffix in _BINARY:
        return value * (1 << _BINARY[suffix])
    power = _DECIMAL[suffix] if suffix else int(exponent or 0)
    scale = Fraction(int("1" + "0" * abs(power)))
    return value * scale if power >= 0 else value / scale
