import os
import subprocess
import sys
from pathlib import Path

import pytest

from tsujiban.supervise import procfs


def test_parses_a_command_with_parentheses_and_spaces() -> None:
    text = "7 (a) b (c)) S 3 5 6 " + " ".join(["0"] * 15) + " 999 0"
    assert procfs.parse_stat(text) == procfs.Stat(7, "S", 3, 5, 6, 999)


def test_own_process() -> None:
    own = procfs.stat(os.getpid())
    assert own is not None
    assert (own.parent, own.session) == (os.getppid(), os.getsid(0))
    assert own.start_ticks > 0
    assert any(entry.pid == os.getpid() for entry in procfs.processes())
    used = procfs.memory(os.getpid())
    assert used.rss > used.private > 1_000_000


def test_a_process_that_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert procfs.stat(child.pid) is None
    assert procfs.memory(child.pid) == procfs.Memory()
    assert not procfs.is_init(child.pid, 0)
    assert not procfs.ignores_as_init(child.pid, 15)


def test_members_are_those_of_the_session() -> None:
    script = (
        "import subprocess, sys; c = subprocess.Popen(['sleep', '60']); print(c.pid, flush=True); c.wait()"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert {entry.pid for entry in procfs.members(child.pid)} == {child.pid, grandchild}
    finally:
        os.killpg(child.pid, 9)
        child.wait()


def test_what_a_child_of_a_session_begins_belongs_to_it() -> None:
    script = (
        "import subprocess; c = subprocess.Popen(['sleep', '60'], start_new_session=True);"
        " print(c.pid, flush=True); c.wait()"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert {entry.pid for entry in procfs.members(child.pid)} == {child.pid, grandchild}
        assert child.pid not in {entry.pid for entry in procfs.members(grandchild)}
    finally:
        for entry in procfs.members(child.pid):
            os.kill(entry.pid, 9)
        child.wait()


def _status(tmp_path: Path, nspid: str, caught: str, uid: str = "5") -> None:
    (tmp_path / "9").mkdir(exist_ok=True)
    text = f"Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nNSpid:\t{nspid}\n"
    (tmp_path / "9" / "status").write_text(text + f"SigBlk:\t0000000000000000\nSigCgt:\t{caught}\n")


def test_first_process_of_a_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(procfs, "PROC", tmp_path)
    _status(tmp_path, "9\t1", "0000000000000000")
    assert procfs.is_init(9, 5)
    assert not procfs.is_init(9, 6)
    assert procfs.ignores_as_init(9, 15)
    _status(tmp_path, "9\t1", "0000000000004000")
    assert not procfs.ignores_as_init(9, 15)
    _status(tmp_path, "9", "0000000000000000")
    assert not procfs.is_init(9, 5)
    assert not procfs.ignores_as_init(9, 15)
