"""The supervisor as a process, spoken to over its socket; no root needed."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.wait import PATIENCE


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    path = tmp_path / "s"
    argv = [sys.executable, "-m", "tsujiban.supervise", "--socket", str(path), "--run-dir", str(tmp_path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield path, process
    if process.poll() is None:
        process.terminate()
    process.wait(PATIENCE)
    process.stdout.close()


def _ask(path: Path, *lines: bytes) -> list[dict[str, Any]]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(path))
        connection.sendall(b"".join(line + b"\n" for line in lines))
        with connection.makefile("rb") as answers:
            return [json.loads(answers.readline()) for _ in lines]


def test_socket_is_private(running: tuple[Path, subprocess.Popen[bytes]]) -> None:
    assert running[0].stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"not json", "not a request"),
        (b"[1]", "object"),
        (b"[" * 100_000, "not a request"),
        (b'{"op": "explode"}', "unknown op"),
        (b'{"op": "start"}', "object"),
        (b'{"op": "start", "spec": {"name": "../x", "argv": ["x"]}}', "name"),
        (b'{"op": "stop"}', "string"),
        (b'{"op": "kill", "name": "x", "signal": "KILL"}', "signal"),
        (b'{"op": "status", "name": "x"}', "no process"),
    ],
)
def test_bad_requests_are_answered(
    running: tuple[Path, subprocess.Popen[bytes]], line: bytes, word: str
) -> None:
    (answer,) = _ask(running[0], line)
    assert answer["ok"] is False
    assert word in answer["error"]
    assert _ask(running[0], b'{"id": 7, "op": "list"}') == [{"id": 7, "ok": True, "result": []}]


def test_children_outlive_their_client_and_end_with_the_supervisor(
    running: tuple[Path, subprocess.Popen[bytes]],
) -> None:
    path, process = running
    spec = {"name": "a/b", "argv": ["sleep", "1000"]}
    (answer,) = _ask(path, json.dumps({"id": 1, "op": "start", "spec": spec}).encode())
    pid = answer["result"]["pid"]
    (state,) = _ask(path, b'{"id": 2, "op": "status", "name": "a/b"}')
    assert state["result"]["state"] == "running"
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not path.exists()


def test_a_second_supervisor_is_refused(
    running: tuple[Path, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    argv = [
        sys.executable,
        "-m",
        "tsujiban.supervise",
        "--socket",
        str(tmp_path / "t"),
        "--run-dir",
        str(tmp_path),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "already runs" in done.stderr
    assert _ask(running[0], b'{"id": 1, "op": "list"}')[0]["ok"]
