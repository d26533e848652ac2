"""Private files: written whole or not at all, readable by their owner only, refused otherwise.

A key that was readable by others for a moment is a leaked key, and a half-written one locks a
cluster out, so both are handled in one place.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

_SHARED = stat.S_IRWXG | stat.S_IRWXO


class PrivateFileError(ValueError):
    """A private file or directory is missing, shared with others, or not a plain file."""


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` atomically and durably with `data`, mode 0600. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say of itself where it is
        raise
    sync_directory(path.parent)


def read_private(path: Path, limit: int = 1 << 20) -> bytes:
    """Read `path` if only its owner (us, or root) can. Raises PrivateFileError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise PrivateFileError(f"cannot open {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise PrivateFileError(f"{path} is not a plain file")
        _check_owner(path, status, "600")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise PrivateFileError(f"{path} is larger than {limit} bytes")
    return data


def make_private_directory(path: Path) -> None:
    """Make `path` with mode 0700, or check that it is so. Raises PrivateFileError, OSError."""
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        check_private_directory(path)


def check_private_directory(path: Path) -> None:
    """Raise PrivateFileError unless `path` is a directory of ours that no one else can enter."""
    try:
        status = path.lstat()
    except OSError as error:
        raise PrivateFileError(f"cannot use {path}: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise PrivateFileError(f"{path} is not a directory")
    _check_owner(path, status, "700")


def sync_directory(path: Path) -> None:
    """Make the names in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_owner(path: Path, status: os.stat_result, mode: str) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise PrivateFileError(
            f"{path} belongs to user {status.st_uid}; remedy: chown it to the owner of this process"
        )
    if status.st_mode & _SHARED:
        raise PrivateFileError(
            f"{path} can be used by others (mode {status.st_mode & 0o777:o}); remedy: chmod {mode} {path}"
        )
