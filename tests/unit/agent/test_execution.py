"""With plain processes of this machine; in a real sandbox, with a terminal: tests/system/agent."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE, until

from tsujiban.agent import execution
from tsujiban.agent.sandbox import Command
from tsujiban.wire.sessions import (
    STDERR,
    STDIN,
    STDOUT,
    Data,
    End,
    ExecAsk,
    Exit,
    FromSession,
    Resize,
    ToSession,
)
from tsujiban.wire.transport import StreamLost

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Client:
    """Says what it is given, then nothing, or hangs up."""

    def __init__(self, *frames: ToSession, hang_up: asyncio.Event | None = None) -> None:
        self.frames = list(frames)
        self.hang_up = hang_up or asyncio.Event()
        self.heard: list[FromSession] = []

    async def send(self, message: FromSession) -> None:
        self.heard.append(message)

    async def next(self) -> ToSession:
        if self.frames:
            return self.frames.pop(0)
        await self.hang_up.wait()
        raise StreamLost("hung up")

    async def over(self) -> None:
        await self.hang_up.wait()

    def said(self, channel: int) -> bytes:
        return b"".join(
            frame.data for frame in self.heard if isinstance(frame, Data) and frame.channel == channel
        )


async def run(client: Client, script: str, *, stdin: bool = False) -> None:
    command = Command(("/bin/sh", "-c", script), {"PATH": os.environ["PATH"]})
    await execution.run(client, command, ExecAsk(container="c", command=(), stdin=stdin))


async def test_output_error_and_status() -> None:
    client = Client()
    await run(client, "echo out; echo err >&2; exit 7")
    assert (client.said(STDOUT), client.said(STDERR)) == (b"out\n", b"err\n")
    assert client.heard[-1] == Exit(code=7)
    assert End(channel=STDOUT) in client.heard


async def test_input_to_its_end() -> None:
    client = Client(Data(channel=STDIN, data=b"he"), Data(channel=STDIN, data=b"llo"), End(channel=STDIN))
    await run(client, "tr a-z A-Z", stdin=True)
    assert client.said(STDOUT) == b"HELLO"
    assert client.heard[-1] == Exit()


async def test_without_input_there_is_none() -> None:
    client = Client(Data(channel=STDIN, data=b"x"), Resize(columns=1, rows=1))
    await run(client, "cat")
    assert client.said(STDOUT) == b""


async def test_input_that_nobody_reads_is_no_error() -> None:
    client = Client(*(Data(channel=STDIN, data=bytes(32768)) for _ in range(20)))
    await run(client, "exec <&-; echo done", stdin=True)
    assert client.said(STDOUT) == b"done\n"


async def test_a_signal_is_128_and_its_number() -> None:
    client = Client()
    await run(client, "kill -9 $$")
    assert client.heard[-1] == Exit(code=137)


async def test_much_output_is_whole() -> None:
    client = Client()
    await run(client, "head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2")
    assert len(client.said(STDOUT)) == 3_000_000
    assert len(client.said(STDERR)) == 1_000_000


async def test_a_child_that_holds_the_output_open_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "LINGER_SECONDS", 0.2)
    client = Client()
    async with asyncio.timeout(PATIENCE):
        await run(client, "sleep 60 & echo started")
    assert client.said(STDOUT) == b"started\n"
    assert client.heard[-1] == Exit()


async def test_a_client_that_hangs_up_kills_the_command_and_its_children() -> None:
    hang_up = asyncio.Event()
    client = Client(hang_up=hang_up)
    running = asyncio.create_task(run(client, "sleep 61 & echo $! $$; wait"))
    await until(lambda: client.said(STDOUT).count(b" ") == 1)
    hang_up.set()
    with pytest.raises(StreamLost):
        await running
    for pid in client.said(STDOUT).split():
        await until(partial(is_dead, int(pid)))


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_what_cannot_be_started_is_an_oserror() -> None:
    with pytest.raises(FileNotFoundError):
        await execution.run(Client(), Command(("/nonexistent",), {}), ExecAsk(container="c", command=()))


async def test_a_client_that_leaves_while_its_input_is_not_taken_ends_the_command() -> None:
    hang_up = asyncio.Event()
    client = Client(*(Data(channel=STDIN, data=bytes(32768)) for _ in range(64)), hang_up=hang_up)
    running = asyncio.create_task(run(client, "echo $$; exec sleep 62", stdin=True))
    await until(lambda: client.said(STDOUT).endswith(b"\n"))
    left = -1
    while left != len(client.frames):  # until nothing more is taken
        left = len(client.frames)
        await asyncio.sleep(0.2)
    assert left
    hang_up.set()
    with pytest.raises(StreamLost):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(int(client.said(STDOUT)), 0)
