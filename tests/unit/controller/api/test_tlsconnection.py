from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import pytest
from tests.support.pki import Pki
from tests.support.wait import PATIENCE, until

from tsujiban.controller.api import tlsconnection
from tsujiban.controller.api.tlsconnection import TlsConnection

pytestmark = pytest.mark.anyio

BIG = 4_000_000  # bytes: more than the buffers of both kernels' ends and ours


class Recorder(asyncio.Protocol):
    """What a connection tells its protocol."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.told: list[str] = []
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_data: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.on_data()

    def eof_received(self) -> None:
        self.told.append("eof")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


class Bed:
    """Both ends of one connection, ours without asyncio's TLS."""

    def __init__(self, pki: Pki) -> None:
        self.protocol = Recorder()
        self.settled = 0
        ours, self.theirs = socket.socketpair()
        for end in (ours, self.theirs):
            end.setblocking(False)
        context = pki.server()
        context.verify_mode = ssl.CERT_NONE
        self.client = ssl.create_default_context(cadata=pki.ca.bundle_pem)
        self.places: list[str] = []
        self.connection = TlsConnection(
            ours,
            context,
            lambda: self.protocol,
            settled=self._settle,
            lost=lambda _: self.places.append("lost"),
            seconds=30,
        )

    def _settle(self, connection: TlsConnection) -> None:
        assert connection.get_extra_info("sslcontext") is not None
        self.settled += 1

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(sock=self.theirs, ssl=self.client, server_hostname="localhost")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def bed(pki: Pki) -> Bed:
    return Bed(pki)


async def gone(bed: Bed) -> None:
    async with asyncio.timeout(PATIENCE):
        await bed.protocol.lost
    await until(lambda: bed.places == ["lost"])
    assert bed.connection.get_extra_info("socket").fileno() == -1


async def test_bytes_go_both_ways_and_the_end_is_said(bed: Bed) -> None:
    reader, writer = await bed.connect()
    writer.write(b"x" * BIG)
    await until(lambda: len(bed.protocol.received) == BIG)
    bed.connection.write(b"y" * BIG)
    bed.connection.close()  # sends what is kept first
    assert await reader.read() == b"y" * BIG
    writer.close()
    await gone(bed)
    assert bed.settled == 1
    assert bed.protocol.told[:2] == ["made", "pause"]


async def test_a_slow_client_is_waited_for(bed: Bed) -> None:
    reader, writer = await bed.connect()
    await until(lambda: bool(bed.protocol.told))
    for _ in range(4):
        bed.connection.write(b"z" * (BIG // 4))
    assert bed.protocol.told == ["made", "pause"]
    assert bed.connection.get_write_buffer_size() > tlsconnection.HIGH_BYTES
    assert await reader.readexactly(BIG) == b"z" * BIG
    await until(lambda: bed.protocol.told == ["made", "pause", "resume"])
    assert bed.connection.get_write_buffer_size() == 0
    writer.close()
    await gone(bed)


async def test_nothing_is_handed_on_while_reading_is_paused(bed: Bed) -> None:
    _, writer = await bed.connect()
    await until(lambda: bool(bed.protocol.told))
    bed.protocol.on_data = bed.connection.pause_reading
    writer.write(b"x" * 100_000)
    await until(lambda: bool(bed.protocol.received))
    held = len(bed.protocol.received)
    assert held < 100_000
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(bed.protocol.received) == held
    bed.protocol.on_data = lambda: None
    bed.connection.resume_reading()
    await until(lambda: len(bed.protocol.received) == 100_000)
    writer.close()
    await gone(bed)


async def test_a_client_that_leaves_is_told(bed: Bed) -> None:
    _, writer = await bed.connect()
    await until(lambda: bool(bed.protocol.told))
    writer.transport.abort()
    await gone(bed)
    assert bed.connection.is_closing()
    bed.connection.write(b"nobody reads this")
    bed.connection.close()


async def test_what_a_client_sends_after_the_end_takes_nothing_from_it(bed: Bed) -> None:
    reader, writer = await bed.connect()
    writer.write(b"a request whose body is refused: ")
    await until(lambda: bool(bed.protocol.received))
    bed.connection.write(b"no")
    bed.connection.close()
    bed.theirs.send(b"x" * 10_000)  # it had not seen the refusal yet
    assert await reader.read() == b"no"
    writer.close()
    await gone(bed)


@pytest.mark.parametrize("bound", ["CLOSE_SECONDS", "LINGER_SECONDS"])
async def test_a_client_that_never_ends_is_cut_off(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(tlsconnection, bound, 0.05)
    _, writer = await bed.connect()
    await until(lambda: bool(bed.protocol.told))
    bed.connection.write(b"x" * (BIG if bound == "CLOSE_SECONDS" else 1))
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # it reads neither data nor the end
    bed.connection.close()
    await gone(bed)
    writer.transport.abort()


async def test_no_handshake_no_protocol(bed: Bed) -> None:
    bed.theirs.send(b"GET / HTTP/1.1\r\n\r\n")
    await until(lambda: bed.settled == 1)
    assert bed.protocol.told == []
    with pytest.raises(RuntimeError):
        bed.connection.get_protocol()
    bed.theirs.close()


async def test_an_error_of_the_protocol_ends_the_connection(bed: Bed) -> None:
    def broken() -> None:
        raise ValueError("broken")

    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: told.append(str(context["exception"]))
    )
    _, writer = await bed.connect()
    bed.protocol.on_data = broken
    writer.write(b"x")
    await gone(bed)
    assert told == ["broken"]
    writer.close()


async def test_a_protocol_can_follow_another(bed: Bed) -> None:
    _, writer = await bed.connect()
    await until(lambda: bool(bed.protocol.told))
    second = Recorder()
    bed.connection.set_protocol(second)
    writer.write(b"x")
    await until(lambda: bytes(second.received) == b"x")
    assert not bed.protocol.received
    with pytest.raises(TypeError):
        bed.connection.set_protocol(asyncio.BufferedProtocol())
    writer.close()
    async with asyncio.timeout(PATIENCE):
        await second.lost
