from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tsujiban.agent import podlogs
from tsujiban.agent.podlogs import NoPrevious, PodLog, Stamper, rfc3339
from tsujiban.supervise import logs, logtimes
from tsujiban.supervise.logtimes import Mark
from tsujiban.wire.sessions import LogAsk

SECOND = 1_000_000_000


def told(log: Path, **ask: Any) -> bytes:
    return b"".join(PodLog(log, LogAsk(container="c", **ask)).backlog())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two incarnations of three lines each; the first began at 100 s, the second at 200 s."""
    path = tmp_path / "c.log"
    path.write_bytes(b"a1\na2\na3\nb1\nb2\nb3\n")
    marks = [Mark(0, 100, True), Mark(0, 101), Mark(6, 102), Mark(9, 200, True), Mark(9, 201), Mark(12, 203)]
    logtimes.write(path, [mark._replace(time_ns=mark.time_ns * SECOND) for mark in marks])
    return path


def test_the_last_incarnation_is_told_and_the_one_before_on_request(log: Path) -> None:
    assert told(log) == b"b1\nb2\nb3\n"
    assert told(log, previous=True) == b"a1\na2\na3\n"


def test_without_an_earlier_incarnation_there_is_no_previous_log(tmp_path: Path) -> None:
    path = tmp_path / "c.log"
    with pytest.raises(NoPrevious):
        told(path, previous=True)
    assert told(path) == b""
    path.write_bytes(b"of old, without marks\n")
    assert told(path) == b"of old, without marks\n"


@pytest.mark.parametrize(
    ("lines", "text"), [(0, b""), (1, b"b3\n"), (2, b"b2\nb3\n"), (3, b"b1\nb2\nb3\n"), (9, b"b1\nb2\nb3\n")]
)
def test_last_lines(log: Path, lines: int, text: bytes) -> None:
    assert told(log, tail_lines=lines) == text


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 100])
def test_last_lines_in_whatever_chunks_and_without_a_last_line_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(podlogs, "CHUNK", chunk)
    path = tmp_path / "c.log"
    path.write_bytes(b"one\n\ntwo\nunfinished")
    assert told(path, tail_lines=1) == b"unfinished"
    assert told(path, tail_lines=3) == b"\ntwo\nunfinished"
    path.write_bytes(b"one\n\ntwo\n")
    assert told(path, tail_lines=2) == b"\ntwo\n"


@pytest.mark.parametrize(
    ("since", "text"), [(0, b"b1\nb2\nb3\n"), (201.5, b"b2\nb3\n"), (203, b"b2\nb3\n"), (204, b"")]
)
def test_since(log: Path, since: float, text: bytes) -> None:
    assert told(log, since=since) == text


def test_times(log: Path) -> None:
    assert told(log, timestamps=True) == (
        b"1970-01-01T00:03:21.000000000Z b1\n"
        b"1970-01-01T00:03:23.000000000Z b2\n"
        b"1970-01-01T00:03:23.000000000Z b3\n"
    )


def test_no_more_bytes_than_wanted_times_included(log: Path) -> None:
    assert told(log, limit_bytes=4) == b"b1\nb"
    assert len(told(log, limit_bytes=40, timestamps=True)) == 40


def test_the_rotated_part_belongs_to_it(log: Path) -> None:
    assert logs.rotate(log, limit=10)
    with log.open("ab") as file:
        file.write(b"b4\n")
    assert told(log) == b"b1\nb2\nb3\nb4\n"
    assert told(log, tail_lines=2) == b"b3\nb4\n"
    assert told(log, previous=True) == b"a1\na2\na3\n"
    assert told(log, since=203) == b"b2\nb3\nb4\n"


def test_following_goes_on_over_rotation_and_cuts(log: Path) -> None:
    reading = PodLog(log, LogAsk(container="c", tail_lines=0, follow=True))
    assert b"".join(reading.backlog()) == b""
    assert b"".join(reading.news()) == b""
    with log.open("ab") as file:
        file.write(b"b4\n")
    assert b"".join(reading.news()) == b"b4\n"
    with log.open("ab") as file:
        file.write(b"b5\n")
    assert logs.rotate(log, limit=15)
    with log.open("ab") as file:
        file.write(b"b6\n")
    assert b"".join(reading.news()) == b"b5\nb6\n"
    log.write_bytes(b"x\n")  # cut by its writer
    assert b"".join(reading.news()) == b"x\n"
    log.unlink()
    assert b"".join(reading.news()) == b""


def test_following_ends_at_the_limit(log: Path) -> None:
    reading = PodLog(log, LogAsk(container="c", limit_bytes=10, follow=True))
    assert b"".join(reading.backlog()) == b"b1\nb2\nb3\n"
    assert not reading.done
    with log.open("ab") as file:
        file.write(b"b4\n")
    assert b"".join(reading.news()) == b"b"
    assert reading.done


def test_a_huge_sparse_file_is_looked_at_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podlogs, "WINDOW", 1000)
    path = tmp_path / "c.log"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert len(told(path)) == 1000


def test_stamps_are_put_before_lines_and_not_before_pieces() -> None:
    stamper = Stamper()
    at = rfc3339(5) + b" "
    assert stamper.stamp(b"a", 5) + stamper.stamp(b"b\nc\r d\n", 5) == at + b"ab\n" + at + b"c\r d\n"


def test_an_endless_line_is_told_in_pieces_with_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podlogs, "MAX_LINE", 10)
    stamper = Stamper()
    assert stamper.stamp(b"x" * 10, 0) + stamper.stamp(b"y\n", 0) == (
        rfc3339(0) + b" " + b"x" * 10 + b"\n" + rfc3339(0) + b" y\n"
    )


def test_of_its_end_only(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"four\nfive\n")
    log.with_name("a.log.1").write_bytes(b"one\ntwo\nthree\n")
    ask = LogAsk(container="", tail_lines=4)
    for most, text in ((3, b"ve\n"), (14, b"ree\nfour\nfive\n"), (1000, b"two\nthree\nfour\nfive\n")):
        assert b"".join(PodLog(log, ask, most).backlog()) == text
