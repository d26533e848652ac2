"""Where audit events go: a private file of JSON lines that is rotated before it grows large.

A disk that refuses stops no request (its user could not repair it): the loss is told in the
controller's log, once a minute, with the number of lost events. So are floods of refused requests that
have no user: an attacker without a credential must not push older events out of the files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from tsujiban.controller.api.audit import encode
from tsujiban.identity.files import make_private_directory

log = structlog.get_logger(__name__)

FILE = "audit.log"
MAX_BYTES = 64 * 1024 * 1024
KEPT = 5  # older files: audit.log.1 is the newest of them
REFUSED_PER_MINUTE = 60  # events of refused requests without a user that are written
_FIRST_REFUSAL = 400


class AuditFile:
    """A sink of audit events."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = MAX_BYTES,
        kept: int = KEPT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        make_private_directory(directory)
        self._path = directory / FILE
        self._max_bytes = max_bytes
        self._kept = kept
        self._clock = clock
        self._minute = -1
        self._refused = 0  # such events of this minute
        self._lost = 0
        self._descriptor, self._size = self._open()

    def __call__(self, event: dict[str, Any]) -> None:
        """Append one event."""
        self._tick()
        if event["responseStatus"]["code"] >= _FIRST_REFUSAL and not event["user"]:
            self._refused += 1
            if self._refused > REFUSED_PER_MINUTE:
                return
        line = encode(event)
        try:
            if self._size and self._size + len(line) > self._max_bytes:
                self._rotate()
            written = os.write(self._descriptor, line)
            self._size += written
            if written < len(line):
                raise OSError(f"only {written} of {len(line)} bytes were written")
        except OSError as error:
            if not self._lost:
                log.error("audit events are being lost", file=str(self._path), reason=str(error))
            self._lost += 1

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)

    def _tick(self) -> None:
        minute = int(self._clock() // 60)
        if minute == self._minute:
            return
        if self._refused > REFUSED_PER_MINUTE:
            unwritten = self._refused - REFUSED_PER_MINUTE
            log.warning(
                "refusals of requests without a user were not written to the audit log", number=unwritten
            )
        if self._lost:
            log.error("audit events were lost", file=str(self._path), number=self._lost)
        self._minute, self._refused, self._lost = minute, 0, 0

    def _open(self) -> tuple[int, int]:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        os.fchmod(descriptor, 0o600)
        return descriptor, os.fstat(descriptor).st_size

    def _rotate(self) -> None:
        for number in range(self._kept, 0, -1):
            older = self._path if number == 1 else self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        fresh, size = self._open()
        os.close(self._descriptor)
        self._descriptor, self._size = fresh, size

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{FILE}.{number}")
