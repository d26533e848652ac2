from __future__ import annotations

import asyncio
import os
import time
import tracemalloc
from pathlib import Path

import pytest
from tests.support import wait

from tsujiban.agent import terminationmessage
from tsujiban.agent.objects import ConfigError
from tsujiban.agent.sandbox import MESSAGES
from tsujiban.agent.sandbox_init import BEFORE, begin_message
from tsujiban.agent.terminationmessage import FALLBACK, LastWords, keep_short, parse
from tsujiban.resources.kinds.core import Container
from tsujiban.supervise import logs


def told(words: LastWords, *, ended_at: float = 0.0, exit_code: int = 1, running: bool = False) -> str:
    log = words.path.with_name("log")
    return words.of(ended_at=ended_at, exit_code=exit_code, running=running, log=log)


@pytest.fixture
def words(tmp_path: Path) -> LastWords:
    begin_message(str(tmp_path / "c"), os.getuid(), os.getgid())
    return LastWords(path=tmp_path / "c", from_log=True)


def test_each_incarnation_has_its_own(words: LastWords) -> None:
    assert words.path.stat().st_mode & 0o777 == 0o600
    words.path.write_text("first")
    ended_at = words.path.stat().st_mtime
    assert told(words, ended_at=ended_at) == "first"
    assert told(words, ended_at=ended_at, running=True) == "first"  # the next has no file yet
    while time.time() < ended_at + 0.05:  # as the supervisor does, at least
        time.sleep(0.01)
    begin_message(str(words.path), os.getuid(), os.getgid())
    assert words.path.read_bytes() == b""
    assert told(words, ended_at=ended_at, running=True) == "first"
    words.path.write_text("second")
    assert told(words, ended_at=time.time() + 1) == "second"


def test_no_more_than_so_much_is_read_and_no_link_is_followed(words: LastWords) -> None:
    words.path.write_bytes(b"\xff" + b"x" * 10_000)
    assert told(words) == "\N{REPLACEMENT CHARACTER}" + "x" * 4095
    words.path.unlink()
    assert told(words, exit_code=0) == ""
    words.path.symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        told(words)


def test_the_end_of_the_log_when_there_is_nothing_else(words: LastWords) -> None:
    log = words.path.with_name("log")
    for text in (b"x" * 3000 + b"\nfirst\n", b"".join(b"%d\n" % n for n in range(100))):
        os.close(logs.open_log(log, None, None))
        logs.look(log, None, start=True)
        with log.open("ab") as file:
            file.write(text)
    assert told(words).splitlines() == [str(n) for n in range(20, 100)]
    first = told(words, running=True)
    assert first.endswith("x\nfirst\n")
    assert len(first) == 2048
    assert told(words, exit_code=0) == ""
    words.path.write_text("better")
    assert told(words) == "better"
    assert told(LastWords(path=words.path.with_name("other"))) == ""


def test_no_more_of_an_endless_line_is_read_than_is_told(words: LastWords) -> None:
    log = words.path.with_name("log")
    log.write_bytes(b"x" * (8 << 20))
    tracemalloc.start()
    try:
        assert told(words) == "x" * 2048
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_what_is_over_is_cut_off_and_no_link_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminationmessage, "LOOK_SECONDS", 0.0)
    messages = tmp_path / "sandboxes" / "u1" / MESSAGES
    messages.mkdir(parents=True)
    long, short, other = messages / "a", messages / ("b" + BEFORE), tmp_path / "other"
    for path, text in ((long, b"x" * 100_000), (short, b"y" * 65_536), (other, b"z" * 100_000)):
        path.write_bytes(text)
    (messages / "0").symlink_to(other)
    (messages / "1").mkdir()
    held = messages / "2"
    with held.open("wb") as file:
        file.write(b"few")
        os.posix_fallocate(file.fileno(), 0, 200_000)

    async def story() -> None:
        keeping = asyncio.create_task(keep_short(tmp_path / "sandboxes"))
        await wait.until(lambda: max(held.stat().st_size, long.stat().st_size) == 65_536)
        with long.open("ab") as file:
            file.write(b"x")
        await wait.until(lambda: long.stat().st_size == 65_536)
        keeping.cancel()

    asyncio.run(story())
    assert (short.read_bytes(), other.stat().st_size) == (b"y" * 65_536, 100_000)


def test_without_an_incarnation_before_there_are_none(words: LastWords) -> None:
    log = words.path.with_name("log")
    log.write_text("x\n")
    assert told(words, running=True) == ""
    assert not Path(f"{words.path}{BEFORE}").exists()


def test_where_it_is_and_how_long_it_may_be() -> None:
    path = Path("/run/x")
    assert parse(Container(name="c"), path, 1) == LastWords(path=path)
    container = Container(name="c", termination_message_path="/a/why", termination_message_policy=FALLBACK)
    assert parse(container, path, 6) == LastWords(path=path, target="/a/why", from_log=True, limit=2048)
    for target in ("why", "/dev/null", "/proc/1/x", "/", "//dev/null", "/a/../b", "/run/tsujiban/x"):
        with pytest.raises(ConfigError, match="no place"):
            parse(Container(name="c", termination_message_path=target), path, 1)
