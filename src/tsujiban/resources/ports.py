"""Ports as Calico's rules write them: a number, a range `20:21`, or a name."""

from __future__ import annotations

import re
from typing import NamedTuple

_RANGE = re.compile(r"(?P<first>[0-9]{1,5}):(?P<last>[0-9]{1,5})")
_NUMBER = re.compile(r"[0-9]{1,5}")
_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")


class Range(NamedTuple):
    """First to last, both included."""

    first: int
    last: int


def parse(text: int | str) -> Range | str:
    """A range, or a name.

    Raises ValueError for what is neither, and for numbers out of 0 to 65535.
    """
    if isinstance(text, int):
        return _range(text, text)
    if _NUMBER.fullmatch(text):
        return _range(int(text), int(text))
    found = _RANGE.fullmatch(text)
    if found:
        return _range(int(found["first"]), int(found["last"]))
    if _NAME.fullmatch(text):
        return text
    raise ValueError(f"not a port, a range such as 20:21, or a name: {text[:64]!r}")


def _range(first: int, last: int) -> Range:
    if not 0 <= first <= 65535 or not 0 <= last <= 65535:
        raise ValueError("a port is from 0 to 65535")
    if first > last:
        raise ValueError(f"the range {first}:{last} is empty: write {last}:{first}")
    return Range(first, last)
