from __future__ import annotations

from pathlib import Path

import pytest

from tsujiban.supervise import logs, logtimes
from tsujiban.supervise.logtimes import Mark

MARKS = [Mark(0, 100, True), Mark(0, 110), Mark(50, 120), Mark(90, 130, True), Mark(90, 140)]


def test_marks_are_read_as_written(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert logtimes.read(log) == []
    logtimes.write(log, MARKS[:2])
    for mark in MARKS[2:]:
        logtimes.append(log, mark)
    assert logtimes.read(log) == MARKS
    assert logtimes.beside(log).stat().st_mode & 0o777 == 0o600


def test_a_torn_entry_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    logtimes.write(log, MARKS)
    path = logtimes.beside(log)
    path.write_bytes(path.read_bytes()[:-3])
    assert logtimes.read(log) == MARKS[:-1]


@pytest.mark.parametrize(("offset", "time"), [(0, 110), (49, 110), (50, 120), (90, 140), (1000, 140)])
def test_when_a_byte_was_written(offset: int, time: int) -> None:
    assert logtimes.time_at(MARKS, offset) == time
    assert logtimes.time_at([], offset) is None
    assert logtimes.time_at([Mark(offset + 1, 1)], offset) is None


@pytest.mark.parametrize(
    ("since", "offset"), [(0, 0), (111, 50), (120, 50), (121, 90), (140, 90), (141, None)]
)
def test_where_a_time_begins(since: int, offset: int | None) -> None:
    assert logtimes.offset_since(MARKS, since) == offset


def test_marks_move_with_what_is_left() -> None:
    assert logtimes.moved(MARKS, 60) == [Mark(0, 100, True), Mark(0, 120), Mark(30, 130, True), Mark(30, 140)]
    assert logtimes.moved(MARKS, 0) == MARKS
    assert logtimes.moved([], 5) == []


def test_thinning_keeps_the_starts_and_halves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = [Mark(n, n, n % 10 == 0) for n in range(100)]
    thin = logtimes.thinned(marks)
    assert {mark for mark in marks if mark.start} <= set(thin)
    assert len(thin) < 70
    assert thin == sorted(thin)
    monkeypatch.setattr(logtimes, "MAX_ENTRIES", 20)
    log = tmp_path / "a.log"
    for mark in marks:
        logtimes.append(log, mark)
    assert logtimes.beside(log).stat().st_size < 100 * logtimes.ENTRY.size


def test_looking_notes_growth_starts_and_cuts(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert logs.look(log, None) == 0
    log.write_bytes(b"old\n")
    seen = logs.look(log, None, start=True)
    assert [(m.offset, m.start) for m in logtimes.read(log)] == [(4, True)]
    log.write_bytes(b"old\nnew\n")
    seen = logs.look(log, seen)
    assert seen == 8
    assert logs.look(log, seen) == 8
    assert [(m.offset, m.start) for m in logtimes.read(log)] == [(4, True), (4, False)]
    log.write_bytes(b"o")
    assert logs.look(log, seen) == 1
    assert logtimes.read(log) == []


def test_marks_are_rotated_and_forgotten_with_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * 100)
    logtimes.write(log, [Mark(0, 1, True), Mark(70, 2), Mark(95, 3)])
    assert logs.rotate(log, limit=20)  # the last 40 bytes stay
    older = log.with_name("a.log.1")
    assert logtimes.read(older) == [Mark(0, 1, True), Mark(10, 2), Mark(35, 3)]
    assert logtimes.read(log) == []
    logs.forget(log, tmp_path)
    assert list(tmp_path.iterdir()) == []
