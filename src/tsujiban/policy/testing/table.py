"""The table form of policy tests: a line of column names, then a line of words for each flow.

    from      to        port  method  expect
    visitor   customer  8080  GET     allow
    visitor   database  2379  -       deny

`-` leaves a field out; a word with spaces goes in double quotes; `#` begins a comment.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

COLUMNS: dict[str, type] = {
    "name": str,
    "from": str,
    "to": str,
    "protocol": str,
    "port": int,
    "sourcePort": int,
    "icmpType": int,
    "icmpCode": int,
    "method": str,
    "path": str,
    "host": str,
    "principal": str,
    "expect": str,
    "rule": str,
}
"""Columns by name, and what is in them."""

NONE = "-"
"""What stands where nothing is said."""

_WORD = re.compile(r'"(?P<quoted>[^"]*)"|(?P<plain>[^\s"]+)')

Row = tuple[int, dict[str, Any]]
Wrong = tuple[int, str, str]  # line, message, hint


def read(text: str) -> tuple[list[Row], list[Wrong]]:
    """The rows, each with its line (from 1) in the text, and what is wrong."""
    rows: list[Row] = []
    wrong: list[Wrong] = []
    columns: list[str] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        words = _words(line)
        if not words:
            continue
        if columns is None:
            columns = words
            wrong += [(number, *_unknown(word)) for word in words if word not in COLUMNS]
            wrong += [(number, f"column {w!r} stands twice", "") for w in set(words) if words.count(w) > 1]
            if wrong:
                return [], wrong
        elif len(words) != len(columns):
            wrong.append(
                (number, f"{len(words)} words in a table of {len(columns)} columns", "write - for none")
            )
        else:
            row, bad = _row(dict(zip(columns, words, strict=True)))
            rows.append((number, row))
            wrong += [(number, message, "") for message in bad]
    return rows, wrong


def _words(line: str) -> list[str]:
    found = []
    for match in _WORD.finditer(line):
        plain = match["plain"]
        if plain is not None and plain.startswith("#"):
            break
        found.append(match["quoted"] if plain is None else plain)
    return found


def _row(cells: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {}
    wrong = []
    for column, word in cells.items():
        if word == NONE:
            continue
        if COLUMNS[column] is str:
            found[column] = word
        elif word.isascii() and word.isdecimal() and len(word) < 8:
            found[column] = int(word)
        else:
            wrong.append(f"{column} {word!r} is not a number")
    return found, wrong


def _unknown(word: str) -> tuple[str, str]:
    lower = {name.lower(): name for name in COLUMNS}
    near = lower.get(word.lower()) or next(iter(get_close_matches(word, COLUMNS, n=1)), None)
    hint = f"did you mean {near!r}?" if near else f"known here: {', '.join(COLUMNS)}"
    return f"unknown column {word!r}", hint
