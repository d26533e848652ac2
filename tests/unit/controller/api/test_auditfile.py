from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import structlog

from tsujiban.controller.api.auditfile import FILE, REFUSED_PER_MINUTE, AuditFile
from tsujiban.identity.files import PrivateFileError


def event(code: int = 200, **more: Any) -> dict[str, Any]:
    return {"user": {}, "responseStatus": {"code": code}, **more}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_appended_to_a_private_file(tmp_path: Path) -> None:
    for number in range(2):
        found = AuditFile(tmp_path / "audit")
        found(event(number=number))
        found.close()
    path = tmp_path / "audit" / FILE
    assert [line["number"] for line in lines(path)] == [0, 1]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_old_files_make_room(tmp_path: Path) -> None:
    found = AuditFile(tmp_path / "audit", max_bytes=200, kept=2)
    for number in range(12):
        found(event(number=number, padding="x" * 80))
    found.close()
    paths = sorted((tmp_path / "audit").iterdir())
    assert [path.name for path in paths] == [FILE, f"{FILE}.1", f"{FILE}.2"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in paths)
    assert all(path.stat().st_size <= 200 for path in paths)
    kept = [line["number"] for path in reversed(paths) for line in lines(path)]
    assert kept == list(range(12 - len(kept), 12))


def test_guessers_do_not_push_out_what_happened(tmp_path: Path) -> None:
    now = [0.0]
    found = AuditFile(tmp_path / "audit", clock=lambda: now[0])
    for _ in range(REFUSED_PER_MINUTE + 40):
        found(event(401))
    found(event(200, number=1))
    now[0] = 61.0
    with structlog.testing.capture_logs() as logs:
        found(event(401))
    found.close()
    codes = [line["responseStatus"]["code"] for line in lines(tmp_path / "audit" / FILE)]
    assert codes == [401] * REFUSED_PER_MINUTE + [200, 401]
    assert [(line["event"], line["number"]) for line in logs] == [
        ("refusals of requests without a user were not written to the audit log", 40)
    ]


def test_who_is_known_is_written_down_however_often_refused(tmp_path: Path) -> None:
    found = AuditFile(tmp_path / "audit", clock=lambda: 0.0)
    for _ in range(REFUSED_PER_MINUTE + 5):
        found({**event(403), "user": {"username": "eve"}})
        found(event(409))
        found(event(200))
    found.close()
    codes = [line["responseStatus"]["code"] for line in lines(tmp_path / "audit" / FILE)]
    assert {code: codes.count(code) for code in (403, 409, 200)} == {
        403: REFUSED_PER_MINUTE + 5,
        409: REFUSED_PER_MINUTE,
        200: REFUSED_PER_MINUTE + 5,
    }


def test_a_full_disk_is_told_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    found = AuditFile(tmp_path / "audit", clock=lambda: now[0])

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with structlog.testing.capture_logs() as logs:
        with monkeypatch.context() as broken:
            broken.setattr(os, "write", full)
            found(event())
            found(event())
        now[0] = 61.0
        found(event(number=3))
    found.close()
    assert [line["log_level"] for line in logs] == ["error", "error"]
    assert logs[1]["number"] == 2
    assert lines(tmp_path / "audit" / FILE) == [event(number=3)]


def test_a_directory_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir(mode=0o755)
    with pytest.raises(PrivateFileError):
        AuditFile(tmp_path / "audit")
