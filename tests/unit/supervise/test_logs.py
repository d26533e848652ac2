import os
from pathlib import Path

from tsujiban.supervise import logs


def test_log_is_private_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.log"
    for text in (b"one\n", b"two\n"):
        descriptor = logs.open_log(path, None, None)
        os.write(descriptor, text)
        os.close(descriptor)
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_rotation_keeps_the_older_part_and_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    descriptor = logs.open_log(path, None, None)
    os.write(descriptor, b"old\n")
    assert not logs.rotate(path, limit=4)
    os.write(descriptor, b"!")
    assert logs.rotate(path, limit=4)
    os.write(descriptor, b"new\n")
    os.close(descriptor)
    assert path.read_bytes() == b"new\n"
    older = tmp_path / "x.log.1"
    assert older.read_bytes() == b"old\n!"
    assert older.stat().st_mode & 0o777 == 0o600


def test_rotating_nothing(tmp_path: Path) -> None:
    assert not logs.rotate(tmp_path / "missing", limit=0)


def test_tail(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert logs.tail(path) == b""
    (tmp_path / "x.log.1").write_bytes(b"1\n2\n")
    path.write_bytes(b"3\n4\n")
    assert logs.tail(path) == b"1\n2\n3\n4\n"
    assert logs.tail(path, 3) == b"2\n3\n4\n"
    assert logs.tail(path, 0) == b""


def test_follow_goes_on_over_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"a\nb\n")
    stream = logs.follow(path, lines=1, poll=0.001)
    assert next(stream) == b"b\n"
    assert next(stream) == b""
    with path.open("ab") as file:
        file.write(b"c\n")
    assert next(stream) == b"c\n"
    assert logs.rotate(path, limit=1)
    assert next(stream) == b""
    with path.open("ab") as file:
        file.write(b"d\n")
    assert next(stream) == b"d\n"


def test_follow_waits_for_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    stream = logs.follow(path, poll=0.001)
    assert next(stream) == b""
    path.write_bytes(b"a\n")
    assert next(stream) == b"a\n"


def test_forgetting_removes_empty_directories_below_the_top_only(tmp_path: Path) -> None:
    top = tmp_path / "run"
    log = top / "logs" / "a" / "b.log"
    log.parent.mkdir(parents=True)
    other = top / "logs" / "c.log"
    for path in (log, log.with_name("b.log.1"), other):
        path.write_text("x")
    logs.forget(log, top)
    assert [path.name for path in (top / "logs").iterdir()] == ["c.log"]
    logs.forget(other, top)
    logs.forget(other, top)
    assert list(top.iterdir()) == []
    assert top.exists()


def test_a_writer_cannot_make_the_copy_as_large_as_it_likes(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    descriptor = logs.open_log(path, None, None)
    os.ftruncate(descriptor, 1 << 40)
    os.write(descriptor, b"end\n")
    assert logs.tail(path, 1).endswith(b"\0end\n")
    assert logs.rotate(path, limit=4096)
    os.close(descriptor)
    older = (tmp_path / "x.log.1").read_bytes()
    assert (len(older), older[-5:]) == (8192, b"\0end\n")
    assert path.stat().st_size == 0
