"""Private files are whole, private, or refused."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from tsujiban.identity.files import (
    PrivateFileError,
    check_private_directory,
    make_private_directory,
    read_private,
    write_private,
)


def test_round_trip_with_a_permissive_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_private(tmp_path / "key", b"secret")
        make_private_directory(tmp_path / "directory")
    finally:
        os.umask(old)
    assert read_private(tmp_path / "key") == b"secret"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "directory").stat().st_mode) == 0o700
    assert os.listdir(tmp_path / "directory") == []


def test_replaces_a_readable_file_with_a_private_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert read_private(path) == b"new"


def test_failure_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    write_private(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, b"new")
    assert read_private(path) == b"old"
    assert os.listdir(tmp_path) == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o777])
def test_shared_file_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    write_private(path, b"secret")
    path.chmod(mode)
    with pytest.raises(PrivateFileError, match="chmod 600"):
        read_private(path)


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o755])
def test_shared_directory_is_refused(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "state"
    make_private_directory(directory)
    make_private_directory(directory)  # ours already: fine
    directory.chmod(mode)
    with pytest.raises(PrivateFileError, match="chmod 700"):
        make_private_directory(directory)


def test_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    with pytest.raises(PrivateFileError, match="cannot open"):
        read_private(tmp_path / "link")
    (tmp_path / "dirlink").symlink_to(tmp_path)
    with pytest.raises(PrivateFileError, match="not a directory"):
        check_private_directory(tmp_path / "dirlink")


def test_fifo_does_not_hang_and_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(PrivateFileError, match="not a plain file"):
        read_private(tmp_path / "fifo")


def test_missing_and_oversize(tmp_path: Path) -> None:
    with pytest.raises(PrivateFileError, match="No such file"):
        read_private(tmp_path / "key")
    with pytest.raises(PrivateFileError, match="No such file"):
        check_private_directory(tmp_path / "missing")
    write_private(tmp_path / "key", b"12345")
    assert read_private(tmp_path / "key", limit=5) == b"12345"
    with pytest.raises(PrivateFileError, match="larger than 4"):
        read_private(tmp_path / "key", limit=4)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_file_of_another_user_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"secret")
    os.chown(tmp_path / "key", 12345, 12345)
    with pytest.raises(PrivateFileError, match="belongs to user 12345"):
        read_private(tmp_path / "key")


def test_a_full_disk_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/key\.pem'"):
        write_private(tmp_path / "key.pem", b"x")
