from __future__ import annotations

import asyncio
import os
import pty
import termios
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE

from tsujiban.cli.terminal import Input, raw

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def take(given: Input, number: int) -> list[bytes]:
    messages = given.messages()
    async with asyncio.timeout(PATIENCE):
        found = [await anext(messages) for _ in range(number)]
    await messages.aclose()  # type: ignore[attr-defined]  # a generator
    return found


async def test_a_pipe_to_its_end() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"hello")
    os.close(writing)
    assert await take(Input(reading, tty=False), 2) == [b"\0hello", bytes([255, 0])]
    os.close(reading)


async def test_a_file_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    for name, messages in (
        (str(tmp_path / "file"), [b"\0text", bytes([255, 0])]),
        ("/dev/null", [bytes([255, 0])]),
    ):
        descriptor = os.open(name, os.O_RDONLY)
        assert await take(Input(descriptor, tty=False), len(messages)) == messages
        os.close(descriptor)


async def test_a_terminal_says_its_size_and_again_when_it_changes() -> None:
    master, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    given = Input(terminal, tty=True)
    messages = given.messages()
    assert await anext(messages) == b'\4{"Width": 80, "Height": 24}'
    termios.tcsetwinsize(terminal, (50, 132))
    os.kill(os.getpid(), 28)  # SIGWINCH
    async with asyncio.timeout(PATIENCE):
        assert await anext(messages) == b'\4{"Width": 132, "Height": 50}'
    await messages.aclose()  # type: ignore[attr-defined]  # a generator
    os.close(master)
    os.close(terminal)


def test_raw_is_undone() -> None:
    master, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    with raw(terminal):
        assert not termios.tcgetattr(terminal)[3] & termios.ISIG
    assert termios.tcgetattr(terminal) == before
    with raw(-1):
        pass
    os.close(master)
    os.close(terminal)
