import fcntl
import json
import os
import subprocess
from pathlib import Path

import pytest

from tsujiban.local import layout, leftovers
from tsujiban.supervise import procfs


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(layout, "RUN_ROOT", tmp_path)
    (tmp_path / "unittest").mkdir()
    return tmp_path / "unittest"


def test_a_cluster_lives_as_long_as_its_lock_is_held(run: Path) -> None:
    assert not leftovers.is_live("unittest")
    lock = os.open(run / "supervisor.lock", os.O_RDWR | os.O_CREAT)
    assert not leftovers.is_live("unittest")
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert leftovers.is_live("unittest")
    os.close(lock)
    assert not leftovers.is_live("unittest")


def test_recorded_processes_count_only_when_they_are_the_same(run: Path) -> None:
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        state = procfs.stat(child.pid)
        assert state is not None
        entry = {"name": "x", "pid": child.pid, "start_ticks": state.start_ticks}
        (run / "processes.json").write_text(json.dumps([entry]))
        assert leftovers.find("unittest").processes == (child.pid,)
        (run / "processes.json").write_text(json.dumps([{**entry, "start_ticks": 1}]))
        assert not leftovers.find("unittest")
    finally:
        child.kill()
        child.wait()


def test_a_damaged_record_names_nobody(run: Path) -> None:
    (run / "processes.json").write_text("{")
    assert not leftovers.find("unittest")
    assert leftovers.remove("unittest") is False


def test_only_root_removes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "find", lambda cluster: leftovers.Leftovers(("x",), ()))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(PermissionError, match="root"):
        leftovers.remove("unittest")
