import errno
import json
import os
import stat
from pathlib import Path

import pytest

from tsujiban.agent import envfiles


def place(sandbox: Path) -> Path:
    path = envfiles.path_of(sandbox, "web")
    path.parent.mkdir()
    return path


def test_a_file_of_root_alone_and_replaced_as_a_whole(tmp_path: Path) -> None:
    os.umask(0)
    path = place(tmp_path)
    envfiles.write(path, ("sh", "-c"), {"WORD": "hush", "RAW": "\udcff"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {"argv": ["sh", "-c"], "env": {"WORD": "hush", "RAW": "\udcff"}}
    first = path.stat().st_ino
    envfiles.write(path, ("sh", "-c"), {"WORD": "hush", "RAW": "\udcff"})
    assert path.stat().st_ino == first
    with path.open() as held:
        envfiles.write(path, ("sh",), {})
        assert "hush" in held.read()
    assert "hush" not in path.read_text()
    assert os.listdir(path.parent) == ["web"]


def test_what_could_not_be_written_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place(tmp_path)
    envfiles.write(path, ("a",), {})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        envfiles.write(path, ("b",), {})
    assert os.listdir(path.parent) == ["web"]
    assert json.loads(path.read_text())["argv"] == ["a"]


def test_removal_may_be_repeated(tmp_path: Path) -> None:
    path = place(tmp_path)
    envfiles.write(path, ("a",), {})
    envfiles.remove(path)
    envfiles.remove(path)
    assert not path.exists()
