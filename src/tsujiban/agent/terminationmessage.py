"""What a container leaves as its last words: a file of its own, or else the end of its log.

Each incarnation finds the file empty (`sandbox_init` sees to that, and keeps the one before beside it, for a
container is started again also while no agent is there). Source: Kubernetes "Determine the Reason for Pod
Failure": 4096 bytes of the file, 12 KiB in a pod; with `FallbackToLogsOnError` 2048 bytes or 80 lines of the
log.

A container may write on when it has said enough: what is over is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from tsujiban.agent.objects import ConfigError
from tsujiban.agent.podlogs import NoPrevious, PodLog
from tsujiban.agent.sandbox import HIDDEN, MESSAGES
from tsujiban.agent.sandbox_init import BEFORE
from tsujiban.resources.kinds.core import Container
from tsujiban.wire.sessions import LogAsk

USUAL = "/dev/termination-log"
FALLBACK = "FallbackToLogsOnError"
MAX_BYTES, MAX_POD_BYTES = 4096, 12 * 1024
LOG_BYTES, LOG_LINES = 2048, 80
MAX_FILE_BYTES = 64 * 1024
LOOK_SECONDS = 1.0
_BLOCK = 512  # bytes; stat(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWords:
    """Where one container's are, and how much of them is told."""

    path: Path  # of the file, on the machine
    target: str = USUAL  # and in the container
    from_log: bool = False
    limit: int = MAX_BYTES

    def of(self, *, ended_at: float, exit_code: int, running: bool, log: Path) -> str:
        """Of the incarnation that has ended last, which was at `ended_at` (UNIX seconds); `running`: another
        has been started since. Raises OSError."""
        before = Path(f"{self.path}{BEFORE}")
        if not (before.exists() and before.stat().st_ctime > ended_at):  # when it was moved there
            before = self.path  # the next has not begun, or not yet made a file of its own
        found = _read(before, self.limit)
        if not found and self.from_log and exit_code:
            found = _end_of_log(log, running, min(LOG_BYTES, self.limit))
        return found.decode(errors="replace")


def parse(container: Container, path: Path, containers: int) -> LastWords:
    """Of a container of a pod that has so many. Raises ConfigError."""
    target = container.termination_message_path or USUAL
    inside = any((target + "/").startswith(top + "/") for top in ("/dev", "/proc", "/sys", *HIDDEN))
    inside = inside or target == "/" or target.startswith("//")  # which normpath leaves alone (POSIX)
    if target != USUAL and (inside or not target.startswith("/") or os.path.normpath(target) != target):
        raise ConfigError(f"terminationMessagePath {target!r} is no place for a file")
    return LastWords(
        path=path,
        target=target,
        from_log=container.termination_message_policy == FALLBACK,
        limit=min(MAX_BYTES, MAX_POD_BYTES // containers),
    )


async def keep_short(sandboxes: Path) -> None:
    """Cut the files of all sandboxes to `MAX_FILE_BYTES` each, once a second, until cancelled."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        await asyncio.to_thread(_cut_all, sandboxes)


def _cut_all(sandboxes: Path) -> None:
    for path in sandboxes.glob(f"*/{MESSAGES}/*"):
        with contextlib.suppress(OSError):  # it has just gone, or is being executed: then at another look
            _cut(path)


def _cut(path: Path) -> None:
    found = path.lstat()
    if max(found.st_size, found.st_blocks * _BLOCK) <= MAX_FILE_BYTES:
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, min(found.st_size, MAX_FILE_BYTES))  # also of what is held beyond its end
    finally:
        os.close(descriptor)


def _read(path: Path, limit: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit)


def _end_of_log(log: Path, before: bool, limit: int) -> bytes:
    ask = LogAsk(container="", previous=before, tail_lines=LOG_LINES)
    try:
        return b"".join(PodLog(log, ask, limit).backlog())
    except NoPrevious:
        return b""
