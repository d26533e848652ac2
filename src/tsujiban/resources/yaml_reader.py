"""YAML documents with the position of every field, in bounded time and memory.

Built on libyaml's events, not on PyYAML's constructor: events come one at a time, so depth,
size, aliases and duplicate keys are judged before anything is built from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from yaml._yaml import CParser

from tsujiban.resources.positions import Position
from tsujiban.resources.shape import MAX_DEPTH
from tsujiban.resources.yaml_scalars import BOOLEAN_WORDS, resolve

MAX_VALUES = 2_000_000
"""Most values in one source."""

MAX_ALIASED = 100_000
"""Most values that aliases of one document may stand for."""

Problem = Callable[[str, str, int, int, str], None]
"""Takes code, message, line, column, hint."""

_SEPARATOR = re.compile(rb"^---(?=[ \t\r\n]|$)", re.MULTILINE)
_STRING_TAGS = frozenset(("!", "tag:yaml.org,2002:str"))
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
_COLLECTION_TAGS = frozenset(("!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"))


class Document:
    """One document: plain data, and where it stands."""

    __slots__ = ("position", "value")

    def __init__(self, value: Any, position: Position) -> None:
        self.value = value
        self.position = position


class _Full(Exception):
    """The rest of the source cannot be used."""


class _Refused(Exception):
    """The rest of this document cannot be used."""


class _Frame:
    """A collection that is being read."""

    __slots__ = ("anchor", "key", "key_mark", "merges", "position", "size", "value")

    def __init__(self, value: dict[str, Any] | list[Any], position: Position, anchor: str | None) -> None:
        self.value = value
        self.position = position
        self.anchor = anchor
        self.key: str | None = None
        self.key_mark: Any = None
        self.merges: list[tuple[Any, Position]] = []
        self.size = 1


def documents(data: bytes, problem: Problem) -> Iterator[Document]:
    """The documents of a YAML stream, empty ones left out.

    What is wrong goes to `problem`; after a broken document, reading goes on with the next.
    """
    start: int | None = 0
    line = 0
    while start is not None:
        chunk = data[start:] if start else data
        broken_at = 0
        try:
            yield from _stream(chunk, line, problem)
            return
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            broken_at = mark.index if mark else 0
            where = (line + mark.line + 1, mark.column + 1) if mark else (line + 1, 1)
            what = ", ".join(part for part in (error.problem, error.context) if part)
            hint = "indent with spaces, not with tabs" if "\\t" in (error.problem or "") else ""
            if "nesting depth" in what:  # libyaml 0.2.6 looks ahead of what is read, and has a bound too
                problem("too-deep", f"nested deeper than {MAX_DEPTH}", *where, "")
            else:
                problem("yaml-syntax", f"not YAML: {what}", *where, hint)
        except yaml.reader.ReaderError as error:
            problem("yaml-characters", f"not YAML: {error.reason}", line + 1, 1, "")
            return
        except _Refused as refusal:
            broken_at = refusal.args[0]
        except _Full:
            return
        start, line = _next_document(data, start, broken_at, line)


def _next_document(data: bytes, start: int, broken_at: int, line: int) -> tuple[int | None, int]:
    """Where the first document after the broken place begins, and on which line (from 0)."""
    text = data[start:].decode("utf-8", "replace")
    offset = start + len(text[:broken_at].encode("utf-8"))
    match = _SEPARATOR.search(data, max(offset, start + 1))
    if match is None:
        return None, 0
    return match.start(), data.count(b"\n", 0, match.start())


def _stream(data: bytes, line: int, problem: Problem) -> Iterator[Document]:
    parser = CParser(data)
    count = 0
    try:
        while True:
            event = parser.get_event()
            if isinstance(event, yaml.StreamEndEvent):
                return
            if isinstance(event, yaml.DocumentStartEvent):
                builder = _Builder(parser, line, problem, count)
                document = builder.read()
                count = builder.count
                if document.value is not None:
                    yield document
    finally:
        parser.dispose()


class _Builder:
    """Builds one document from its events."""

    def __init__(self, parser: CParser, line: int, problem: Problem, count: int) -> None:
        self.parser = parser
        self.count = count  # values so far, earlier documents included
        self.first_line = line + 1
        self.report = problem
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, Position, int]] = {}
        self.aliased = 0
        self.root: tuple[Any, Position] = (None, Position(line + 1, 1))

    def problem(self, code: str, message: str, mark: Any, hint: str = "") -> None:
        self.report(code, message, mark.line + self.first_line, mark.column + 1, hint)

    def read(self) -> Document:
        while True:
            event = self.parser.get_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                self._open(event, {} if kind is yaml.MappingStartEvent else [])
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._close()
            elif kind is yaml.AliasEvent:
                self._alias(event)
            else:
                return Document(*self.root)

    def _scalar(self, event: Any) -> None:
        mark = event.start_mark
        is_key = bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None
        if is_key:
            self._key(event)
            return
        text: str = event.value
        value: Any = text
        if event.tag is not None and event.tag not in _STRING_TAGS and event.tag not in _PLAIN_TAGS:
            self.problem("yaml-tag", f"tag {event.tag[:64]!r} is not known", mark, "leave the tag out")
        elif event.tag in _PLAIN_TAGS or (event.tag is None and event.implicit[0]):
            try:
                value = resolve(text)
            except ValueError as error:
                self.problem("yaml-number", str(error), mark)
                value = 0
        self._add(value, Position(mark.line + self.first_line, mark.column + 1), event.anchor, 1)

    def _key(self, event: Any) -> None:
        frame = self.stack[-1]
        frame.key_mark = event.start_mark
        key: str = event.value
        if event.implicit[0] and event.tag is None:
            if key in BOOLEAN_WORDS:
                self.problem(
                    "yaml-boolean-key",
                    f"key {key!r} is a boolean in Kubernetes' YAML",
                    event.start_mark,
                    f'write "{key}" in quotes',
                )
            elif key == "":
                self.problem("yaml-key", "a key is empty", event.start_mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = (key, Position(event.start_mark.line + self.first_line, 1), 1)
        frame.key = key

    def _open(self, event: Any, value: dict[str, Any] | list[Any]) -> None:
        mark = event.start_mark
        if self.stack and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None:
            self.problem("yaml-key", "a key must be a string", mark)
            raise _Refused(mark.index)
        if len(self.stack) >= MAX_DEPTH:
            self.problem("too-deep", f"nested deeper than {MAX_DEPTH}", mark)
            raise _Refused(mark.index)
        if event.tag is not None and event.tag not in _COLLECTION_TAGS:
            self.problem("yaml-tag", f"tag {event.tag[:64]!r} is not known", mark, "leave the tag out")
        items: dict[str, Position] | list[Position] = {} if isinstance(value, dict) else []
        position = Position(mark.line + self.first_line, mark.column + 1, items)
        self.stack.append(_Frame(value, position, event.anchor))

    def _close(self) -> None:
        frame = self.stack.pop()
        if frame.merges and isinstance(frame.value, dict):
            for merged, place in frame.merges:
                self._merge(frame, merged, place)
        self._add(frame.value, frame.position, frame.anchor, frame.size)

    def _alias(self, event: Any) -> None:
        mark = event.start_mark
        if event.anchor not in self.anchors:
            self.problem("yaml-alias", f"alias *{event.anchor} has no anchor before it", mark)
            raise _Refused(mark.index)
        value, position, size = self.anchors[event.anchor]
        if self.stack and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None:
            if not isinstance(value, str):
                self.problem("yaml-key", "a key must be a string", mark)
                raise _Refused(mark.index)
            self.stack[-1].key = value
            self.stack[-1].key_mark = mark
            return
        self.aliased += size
        if self.aliased > MAX_ALIASED:
            self.problem("yaml-alias", f"aliases stand for more than {MAX_ALIASED} values", mark)
            raise _Refused(mark.index)
        self._add(value, position, None, size)

    def _add(self, value: Any, position: Position, anchor: str | None, size: int) -> None:
        """Put a finished value where it belongs."""
        self.count += 1
        if self.count > MAX_VALUES:
            hint = "split the file, or write JSON"
            self.report("too-large", f"more than {MAX_VALUES} values", position.line, position.column, hint)
            raise _Full
        if anchor is not None:
            self.anchors[anchor] = (value, position, size)
        if not self.stack:
            self.root = (value, position)
            return
        frame = self.stack[-1]
        frame.size += size
        if isinstance(frame.value, list):
            frame.value.append(value)
            if isinstance(frame.position.items, list):
                frame.position.items.append(position)
            return
        key, frame.key = frame.key, None
        if key == "<<":
            frame.merges.append((value, position))
            return
        if key is None or not isinstance(frame.position.items, dict):
            raise AssertionError("a value of a mapping without its key")
        if key in frame.value:
            first = frame.position.items[key].line
            self.problem("duplicate-key", f"key {key!r} stands twice (first on line {first})", frame.key_mark)
            return
        mark = frame.key_mark
        frame.value[key] = value
        # a field's place is its key's: that is the line a person looks for
        frame.position.items[key] = Position(mark.line + self.first_line, mark.column + 1, position.items)

    def _merge(self, frame: _Frame, merged: Any, place: Position) -> None:
        """`<<`: the mapping's own keys win, then earlier merged ones."""
        sources = merged if isinstance(merged, list) else [merged]
        places = place.items if isinstance(place.items, list) else [place]
        for source, where in zip(sources, places, strict=True):
            if not isinstance(source, dict) or not isinstance(where.items, dict):
                self.report("yaml-merge", "'<<' takes mappings only", where.line, where.column, "")
                continue
            for key, value in source.items():
                if key not in frame.value and isinstance(frame.position.items, dict):
                    frame.value[key] = value
                    frame.position.items[key] = where.items[key]
