"""JSON documents, strictly: no duplicate keys, no NaN, no lone surrogates; positions when asked for.

Positions are found by a second scan, and only for a document of which somebody wants to know a
line: endpoint files are large, and nobody asks them.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any

from tsujiban.resources.positions import NOWHERE, Position
from tsujiban.resources.shape import MAX_DEPTH

MAX_PLACED = 2_000_000
"""Values of one source whose positions are kept; those after have the place of what is around them."""

_TOKEN = re.compile(
    rb'(?P<string>"(?:[^"\\]|\\.)*")|(?P<open>[\[{])|(?P<close>[\]}])|(?P<mark>[,:])|(?P<word>[^\s,:\[\]{}"]+)'
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class NotJSON(ValueError):
    """Not JSON, or JSON that is not to be trusted; `locate` tells where."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise NotJSON("duplicate-key", f"key {key!r} stands twice in one object")
            seen.add(key)
    return found


def _constant(word: str) -> Any:
    raise NotJSON("json-number", f"{word} is not a number that JSON has")


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise NotJSON("json-number", f"{text[:32]} is larger than a number may be")
    return number


def _int(text: str) -> int | float:
    if len(text) > 20:
        return _float(text)
    number = int(text)
    return number if -(2**63) <= number < 2**64 else float(number)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float, parse_int=_int
)
_BLANK = re.compile(r"[ \t\r\n]*")


def documents(text: str) -> list[Any]:
    """The values of a text of one or several JSON documents, one after the other.

    Raises NotJSON.
    """
    if _SURROGATE.search(text.encode()) and not _encodable(text):
        raise NotJSON("json-surrogate", "a string holds half of a surrogate pair")
    found = []
    at = _skip(text, 0)
    while at < len(text):
        try:
            value, at = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise NotJSON("json-syntax", f"not JSON: {error.msg}") from None
        except RecursionError:
            raise NotJSON("too-deep", "nested too deep") from None
        found.append(value)
        at = _skip(text, at)
    return found


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _encodable(text: str) -> bool:
    """Whether every escaped surrogate is one of a pair."""
    unpaired = re.sub(r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}", "", text)
    return re.search(r"\\u[dD][89a-fA-F]", unpaired) is None


def _is_number(word: bytes) -> bool:
    """Whether a bare word is a number that JSON has, or true, false or null."""
    if word in (b"true", b"false", b"null"):
        return True
    try:
        return isfinite(float(word))
    except ValueError:
        return True  # not a word of JSON at all: another error's matter


def positions(data: bytes) -> list[Position]:
    """Where every value of the documents stands. `data` is what `documents` took."""
    scan = _Scan(data)
    return scan.run()


def locate(code: str, data: bytes) -> Position:
    """Where that stands for which `documents` raised NotJSON with this code."""
    scan = _Scan(data, code)
    scan.run()
    return scan.faults.get(code, NOWHERE)


class _Scan:
    """One pass over the tokens with an explicit stack."""

    def __init__(self, data: bytes, wanted: str = "") -> None:
        self.data = data
        self.wanted = wanted  # the fault at which to stop
        self.count = 0
        self.roots: list[Position] = []
        self.stack: list[Position] = []
        self.keys: list[str | None] = []
        self.line = 1
        self.line_start = 0
        self.counted = 0
        self.faults: dict[str, Position] = {}  # first place, by code of NotJSON

    def run(self) -> list[Position]:
        key_next = False
        for match in _TOKEN.finditer(self.data):
            if self.count > MAX_PLACED or self.wanted in self.faults:
                break
            kind = match.lastgroup
            start = match.start(kind or 0)
            if kind == "open":
                is_map = match["open"] == b"{"
                self._push(start, {} if is_map else [])
                key_next = is_map
            elif kind == "close":
                if self.stack:
                    self.stack.pop()
                    self.keys.pop()
                key_next = False
            elif kind == "mark":
                key_next = (
                    match["mark"] == b"," and bool(self.stack) and isinstance(self.stack[-1].items, dict)
                )
            elif kind == "string" and key_next and self.stack:
                key = json.loads(match["string"])
                self.keys[-1] = key
                items = self.stack[-1].items
                place = self._at(start)
                if isinstance(items, dict):
                    if key in items:
                        self.faults.setdefault("duplicate-key", place)
                    items[key] = place
                key_next = False
            else:
                place = self._place(self._at(start))
                if kind == "word" and not _is_number(match["word"]):
                    self.faults.setdefault("json-number", place)
                elif kind == "string" and not _encodable(match["string"].decode("utf-8", "replace")):
                    self.faults.setdefault("json-surrogate", place)
        return self.roots

    def _at(self, start: int) -> Position:
        newlines = self.data.count(b"\n", self.counted, start)
        if newlines:
            self.line += newlines
            self.line_start = self.data.rfind(b"\n", self.counted, start) + 1
        self.counted = start
        return Position(self.line, start - self.line_start + 1)

    def _push(self, start: int, items: dict[str, Position] | list[Position]) -> None:
        position = self._at(start)
        position.items = items
        if len(self.stack) >= MAX_DEPTH:
            self.faults.setdefault("too-deep", position)
        self.stack.append(self._place(position))
        self.keys.append(None)

    def _place(self, position: Position) -> Position:
        """Put a value where it belongs; a field stands where its key does."""
        self.count += 1
        if not self.stack:
            self.roots.append(position)
            return position
        items = self.stack[-1].items
        if isinstance(items, list):
            items.append(position)
            return position
        key = self.keys[-1]
        if isinstance(items, dict) and key is not None and key in items:
            items[key].items = position.items
            return items[key]
        return position
