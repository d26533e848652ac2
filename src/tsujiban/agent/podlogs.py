"""A container's log, as PodLogOptions ask for it: which incarnation, since when, how many lines, with times.

The files are the supervisor's (`supervise.logs`), the times and the incarnations its marks beside them
(`supervise.logtimes`). A log may hold anything, and may be cut short while it is read: the container
writes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tsujiban.supervise import logtimes
from tsujiban.supervise.logtimes import Mark
from tsujiban.wire.sessions import LogAsk

CHUNK = 32 * 1024
MAX_LINE = 64 * 1024  # bytes; a longer line is told in pieces, each with its time
WINDOW = 20 * 1024 * 1024  # bytes of one file that are looked at, from its end: what rotation would leave


class NoPrevious(LookupError):
    """There was no incarnation before this one, or its log is gone."""


class Stamper:
    """Puts the time before every line, whatever pieces the lines come in."""

    def __init__(self) -> None:
        self._at_start = True
        self._length = 0

    def stamp(self, data: bytes, time_ns: int) -> bytes:
        """`data`, written at `time_ns`, with times before its lines."""
        prefix = rfc3339(time_ns) + b" "
        parts: list[bytes] = []
        for line in data.splitlines(keepends=True) if b"\r" not in data else _lines(data):
            if self._at_start:
                parts.append(prefix)
                self._length = 0
            parts.append(line)
            self._length += len(line)
            self._at_start = line.endswith(b"\n")
            if self._length >= MAX_LINE and not self._at_start:
                parts.append(b"\n")
                self._at_start = True
        return b"".join(parts)


def _lines(data: bytes) -> list[bytes]:
    """Lines that end in a line feed only (`splitlines` would also end them at a carriage return)."""
    pieces = data.split(b"\n")
    return [piece + b"\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def rfc3339(time_ns: int) -> bytes:
    """`2026-01-31T12:00:00.000000000Z`."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z".encode()


class PodLog:
    """One reading of one log. `backlog` first, then, to follow, `news` again and again.

    Blocks for file reads only. Raises OSError; NoPrevious from the constructor.
    """

    def __init__(self, path: Path, ask: LogAsk, most: int | None = None) -> None:
        """`most`: bytes of its end, and no others are looked at; None: all that rotation would leave."""
        self._path = path
        self._most = most
        self._ask = ask
        self._stamper = Stamper() if ask.timestamps else None
        self._left = ask.limit_bytes
        self._older = path.with_name(path.name + ".1")
        self._older_inode = _inode(self._older)
        self._position = _size(path)
        self._segments = self._choose()

    @property
    def done(self) -> bool:
        """Whether as many bytes as were asked for have been told."""
        return self._left is not None and self._left <= 0

    def backlog(self) -> Iterator[bytes]:
        """What has been written up to now."""
        for path, marks, start, end in self._segments:
            yield from self._told(path, marks, start, end)

    def news(self) -> Iterator[bytes]:
        """What has been written since."""
        size = _size(self._path)
        if size < self._position:
            inode = _inode(self._older)
            if inode != self._older_inode:  # rotated: the rest of what we have not told is there
                self._older_inode = inode
                yield from self._told(self._older, [], self._position, _size(self._older))
            self._position = 0
        if size > self._position:
            start, self._position = self._position, size
            yield from self._told(self._path, [], start, size)

    # ------------------------------------------------------------ which part

    def _choose(self) -> list[tuple[Path, list[Mark], int, int]]:
        """Files, their marks, and which of their bytes are to be told."""
        parts = []
        for path, size in ((self._older, _size(self._older)), (self._path, self._position)):
            parts.append((path, logtimes.read(path), max(0, size - WINDOW), size))
        starts = [(n, m.offset) for n, part in enumerate(parts) for m in part[1] if m.start]
        first, last = (0, 0), (1, self._position)
        if self._ask.previous:
            if len(starts) < 2:
                raise NoPrevious("there is no log of an incarnation before this one")
            first, last = starts[-2], starts[-1]
        elif starts:
            first = starts[-1]
        chosen = []
        for number, (path, marks, low, high) in enumerate(parts):
            begin = low if number > first[0] else max(low, first[1]) if number == first[0] else high
            end = high if number < last[0] else min(high, last[1]) if number == last[0] else begin
            begin = self._since(marks, begin, end)
            if begin < end:
                chosen.append((path, marks, begin, end))
        return self._tail(self._end(chosen))

    def _since(self, marks: list[Mark], begin: int, end: int) -> int:
        if not self._ask.since or not marks:
            return begin
        offset = logtimes.offset_since(marks, int(self._ask.since * 1e9))
        if offset is None:  # all of it is older; what has come since the last look is not marked yet
            offset = end
        return max(begin, offset)

    def _end(
        self, chosen: list[tuple[Path, list[Mark], int, int]]
    ) -> list[tuple[Path, list[Mark], int, int]]:
        if self._most is None:
            return chosen
        found: list[tuple[Path, list[Mark], int, int]] = []
        left = self._most
        for path, marks, start, end in reversed(chosen):
            begin = max(start, end - left)
            left -= end - begin
            if begin < end:
                found.insert(0, (path, marks, begin, end))
        return found

    def _tail(
        self, chosen: list[tuple[Path, list[Mark], int, int]]
    ) -> list[tuple[Path, list[Mark], int, int]]:
        wanted = self._ask.tail_lines
        if wanted is None:
            return chosen
        found: list[tuple[Path, list[Mark], int, int]] = []
        at_end = True
        for path, marks, start, end in reversed(chosen):
            begin, wanted = _last_lines(path, start, end, wanted, at_end=at_end)
            at_end = False
            if begin < end:
                found.insert(0, (path, marks, begin, end))
            if wanted <= 0:
                break
        return found

    # ------------------------------------------------------------ telling

    def _told(self, path: Path, marks: list[Mark], start: int, end: int) -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(start)
            while start < end and not self.done:
                data = file.read(min(CHUNK, end - start, self._until_next_mark(marks, start)))
                if not data:
                    return
                told = data
                if self._stamper is not None:
                    told = self._stamper.stamp(data, logtimes.time_at(marks, start) or time.time_ns())
                start += len(data)
                if self._left is not None:
                    told = told[: self._left]
                    self._left -= len(told)
                yield told

    def _until_next_mark(self, marks: list[Mark], offset: int) -> int:
        """How many bytes from `offset` on have one time."""
        if self._stamper is None or not marks:
            return CHUNK
        return next((mark.offset - offset for mark in marks if mark.offset > offset), CHUNK)


def _last_lines(path: Path, start: int, end: int, wanted: int, *, at_end: bool) -> tuple[int, int]:
    """Where the last `wanted` lines of a part begin, and how many more are wanted of what is before it.
    `at_end`: a line feed at the very end ends the last line, and begins none."""
    if wanted <= 0:
        return end, 0
    with path.open("rb") as file:
        position = end
        while position > start:
            size = min(CHUNK, position - start)
            file.seek(position - size)
            data = file.read(size)
            index = len(data)
            if at_end and position == end and data.endswith(b"\n"):
                index -= 1
            while (index := data.rfind(b"\n", 0, index)) >= 0:
                wanted -= 1
                if wanted == 0:
                    return position - size + index + 1, 0
            position -= size
    return start, wanted


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
