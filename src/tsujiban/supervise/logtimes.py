"""When which part of a log was written, and where each incarnation of its process began.

Processes write their logs themselves, so no line carries a time. The supervisor looks at the sizes once a
second anyway; what it sees is kept here, beside the log: (offset, time) pairs that say "what is behind this
offset was not there before". `kubectl logs --since`, `--timestamps` and `--previous` are answered from it, to
the second.
"""

from __future__ import annotations

import bisect
import os
import struct
from pathlib import Path
from typing import NamedTuple

ENTRY = struct.Struct("<QQ")  # offset; UNIX time in ns, doubled, plus one at the start of an incarnation
MAX_ENTRIES = 1 << 15  # 512 KiB; then every other one is forgotten, starts excepted


class Mark(NamedTuple):
    """What is at and behind `offset` was written at about `time_ns`, or later."""

    offset: int
    time_ns: int
    start: bool = False


def beside(log: Path) -> Path:
    """The file of a log's marks."""
    return log.with_name(log.name + ".times")


def read(log: Path) -> list[Mark]:
    """All marks, in order; none without a file. A torn last entry, of a full disk, is left out."""
    try:
        data = beside(log).read_bytes()
    except FileNotFoundError:
        return []
    whole = data[: len(data) - len(data) % ENTRY.size]
    return [Mark(offset, word >> 1, bool(word & 1)) for offset, word in ENTRY.iter_unpack(whole)]


def write(log: Path, marks: list[Mark]) -> None:
    """Replace all marks. Raises OSError."""
    path = beside(log)
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"".join(_pack(mark) for mark in marks))
    new.replace(path)


def append(log: Path, mark: Mark) -> None:
    """Add one mark. Raises OSError."""
    path = beside(log)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, _pack(mark))
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if size > MAX_ENTRIES * ENTRY.size:
        write(log, thinned(read(log)))


def thinned(marks: list[Mark]) -> list[Mark]:
    """Half of them; where incarnations start is kept, the last 1000 of those at most."""
    starts = set([mark for mark in marks if mark.start][-1000:])
    return [mark for number, mark in enumerate(marks) if mark in starts or (number % 2 and not mark.start)]


def moved(marks: list[Mark], by: int) -> list[Mark]:
    """Marks of a log whose first `by` bytes have been cut off."""
    before = [mark for mark in marks if mark.offset < by]
    head = [mark for mark in before if mark.start][-1:]  # the incarnation that is cut begins at the cut
    head += [mark for mark in before[-1:] if not mark.start]
    return [mark._replace(offset=max(0, mark.offset - by)) for mark in head + marks[len(before) :]]


def time_at(marks: list[Mark], offset: int) -> int | None:
    """When the byte at `offset` was written, ns; None when nobody knows."""
    found = bisect.bisect_right(marks, offset, key=lambda mark: mark.offset)
    return marks[found - 1].time_ns if found else None


def offset_since(marks: list[Mark], time_ns: int) -> int | None:
    """Where what was written at `time_ns` or later begins; None when nothing was."""
    return next((mark.offset for mark in marks if mark.time_ns >= time_ns), None)


def _pack(mark: Mark) -> bytes:
    return ENTRY.pack(mark.offset, mark.time_ns << 1 | mark.start)
