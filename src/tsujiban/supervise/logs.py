"""Log files of supervised processes: written by the process, bounded by the supervisor.

A child writes straight into its file (append mode), so that no log line passes through the
supervisor and a dead supervisor breaks no child's output. Rotation copies the file to `.1` and
truncates it; a line written in between may be lost, which is the price of that independence.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tsujiban.supervise import logtimes
from tsujiban.supervise.logtimes import Mark

LIMIT = 10 * 1024 * 1024  # bytes; Kubernetes' containerLogMaxSize
CHUNK = 64 * 1024


def open_log(path: Path, uid: int | None, gid: int | None) -> int:
    """A descriptor that appends to `path` (made with mode 0600, owned by the process's user, so
    that it may open /dev/stdout again). The caller closes it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    if uid is not None and gid is not None and os.geteuid() == 0:
        os.fchown(descriptor, uid, gid)
    return descriptor


def rotate(path: Path, limit: int = LIMIT) -> bool:
    """Keep `path` under `limit` bytes; the older part, its last 2 * `limit` bytes at most, is in
    `path`.1. True when it was cut. The writer can make the file as large as it likes, in an instant
    and without writing (ftruncate): what is copied here is bounded."""
    try:
        if path.stat().st_size <= limit:
            return False
        older = path.with_name(path.name + ".1")
        older.unlink(missing_ok=True)
        with path.open("rb") as source, open(older, "xb", opener=_private) as target:
            content = _end(source, 2 * limit)
            cut = source.tell() - len(content)
            target.write(content)
            os.truncate(path, 0)
        logtimes.write(older, logtimes.moved(logtimes.read(path), cut))
        logtimes.write(path, [])
    except FileNotFoundError:
        return False
    return True


def look(path: Path, seen: int | None, *, start: bool = False) -> int:
    """Note that the log has grown beyond `seen` bytes (None: nobody has looked yet), or that an incarnation
    starts; its size now. Raises OSError."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    now = time.time_ns()
    if seen is not None and size < seen:  # its writer has cut it short
        logtimes.write(path, [mark for mark in logtimes.read(path) if mark.offset <= size])
    elif seen is not None and size > seen:
        logtimes.append(path, Mark(seen, now))
    if start:
        logtimes.append(path, Mark(size, now, True))
    return size


def _end(file: BinaryIO, limit: int) -> bytes:
    """The last `limit` bytes of a file that may be growing."""
    file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
    return file.read(limit)


def forget(path: Path, top: Path) -> None:
    """Remove a log, its older part, and the directories below `top` that are empty then."""
    for part in (path, path.with_name(path.name + ".1")):
        part.unlink(missing_ok=True)
        logtimes.beside(part).unlink(missing_ok=True)
    for parent in path.parents:
        if top not in parent.parents:
            return
        try:
            parent.rmdir()
        except OSError:  # not empty
            return


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def tail(path: Path, lines: int | None = None) -> bytes:
    """The last `lines` lines (None: all) of a log, the rotated part included, of each part
    the last 2 * LIMIT bytes; b"" without one."""
    parts = []
    for part in (path.with_name(path.name + ".1"), path):
        try:
            with part.open("rb") as file:
                parts.append(_end(file, 2 * LIMIT))
        except FileNotFoundError:
            continue
    content = b"".join(parts)
    return content if lines is None else b"".join(content.splitlines(keepends=True)[-lines:] if lines else [])


def follow(path: Path, lines: int | None = 0, poll: float = 0.1) -> Iterator[bytes]:
    """Chunks of a log as it grows, first its last `lines` lines; goes on over rotations and
    restarts, for ever. b"" is yielded on every idle poll (seconds), so that a caller can stop."""
    position = 0
    if path.exists():
        position = path.stat().st_size
        yield tail(path, lines)
    while True:
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size < position:  # rotated
            position = 0
        if size == position:
            yield b""
            time.sleep(poll)
            continue
        with path.open("rb") as file:
            file.seek(position)
            chunk = file.read(CHUNK)
        position += len(chunk)
        yield chunk
