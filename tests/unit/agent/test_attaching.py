"""The agent's side of an attached client, with a shim in place."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE, until
from tests.unit.agent.test_execution import Client

from tsujiban.agent import attaching, shim
from tsujiban.agent.podlogs import PodLog
from tsujiban.wire.sessions import STDIN, STDOUT, Data, End, Exit, LogAsk, Resize
from tsujiban.wire.transport import StreamLost

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Bed:
    """The shim's end is in the test's hands."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "log"
        self.log.write_bytes(b"before\n")
        self.ours, self.shims = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.shims.settimeout(PATIENCE)
        self.ours.setblocking(False)

    async def run(self, client: Client, *, stdin: bool = True) -> None:
        reading = PodLog(self.log, LogAsk(container="c", tail_lines=0))
        with self.ours:
            await attaching.run(client, self.ours, reading, stdin=stdin)

    async def heard(self) -> bytes:
        return await asyncio.to_thread(self.shims.recv, 65536)


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    made = Bed(tmp_path)
    yield made
    made.shims.close()


async def test_what_is_typed_and_what_is_said(bed: Bed) -> None:
    client = Client(
        Data(channel=STDIN, data=b"x" * 40_000), Resize(columns=101, rows=99_999), End(channel=STDIN)
    )
    running = asyncio.create_task(bed.run(client))
    assert await bed.heard() == shim.INPUT + b"x" * shim.MAX_INPUT
    assert await bed.heard() == shim.INPUT + b"x" * (40_000 - shim.MAX_INPUT)
    assert await bed.heard() == shim.SIZE + shim.DIMENSIONS.pack(65535, 101)
    assert await bed.heard() == shim.END
    with bed.log.open("ab") as file:
        file.write(b"said\n")
    bed.shims.send(shim.NEWS)
    await until(lambda: client.said(STDOUT) == b"said\n")
    with bed.log.open("ab") as file:
        file.write(b"last words\n")
    bed.shims.close()
    await running
    assert client.said(STDOUT) == b"said\nlast words\n"
    assert client.heard[-1] == Exit()


async def test_a_client_that_leaves_is_told_of(bed: Bed) -> None:
    hang_up = asyncio.Event()
    hang_up.set()
    with pytest.raises(StreamLost, match="has left"):
        await bed.run(Client(hang_up=hang_up))
    assert await bed.heard() == shim.END


class Lost(Client):
    async def over(self) -> None:
        await super().over()
        raise StreamLost("the controller was killed")


async def test_a_controller_that_is_lost_is_no_client_that_leaves(bed: Bed) -> None:
    hang_up = asyncio.Event()
    hang_up.set()
    with pytest.raises(StreamLost, match="killed"):
        await bed.run(Lost(hang_up=hang_up))
    assert await bed.heard() == b""


async def test_without_input_nothing_is_typed_and_nothing_ends(bed: Bed) -> None:
    hang_up = asyncio.Event()
    client = Client(
        Data(channel=STDIN, data=b"x"), End(channel=STDIN), Resize(columns=1, rows=2), hang_up=hang_up
    )
    running = asyncio.create_task(bed.run(client, stdin=False))
    assert await bed.heard() == shim.SIZE + shim.DIMENSIONS.pack(2, 1)
    hang_up.set()
    with pytest.raises(StreamLost):
        await running
    assert await bed.heard() == b""


async def test_a_client_that_leaves_while_nothing_is_taken_is_not_waited_for_without_end(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "FAREWELL_SECONDS", 0.1)
    hang_up = asyncio.Event()
    client = Client(*(Data(channel=STDIN, data=bytes(32768)) for _ in range(200)), hang_up=hang_up)
    running = asyncio.create_task(bed.run(client))
    left = -1
    while left != len(client.frames):  # until nothing more is taken
        left = len(client.frames)
        await asyncio.sleep(0.2)
    assert left > 100
    hang_up.set()
    with pytest.raises(StreamLost, match="has left"):
        await running


async def test_a_container_that_ends_while_it_takes_nothing_ends_the_session(bed: Bed) -> None:
    client = Client(*(Data(channel=STDIN, data=bytes(32768)) for _ in range(200)))
    running = asyncio.create_task(bed.run(client))
    await until(lambda: len(client.frames) < 200)
    bed.shims.close()
    await running
    assert client.heard[-1] == Exit()
