from __future__ import annotations

import asyncio
import struct
from contextlib import suppress

import pytest
from tests.support.apibed import ApiBed, Credentials
from tests.support.fakenode import FakeStream
from tests.support.spdyclient import control, data
from tests.support.upgrades import Refused, SpdyPeer, spdy, websocket
from tests.support.wait import until
from tests.unit.controller.api.test_streams import make_pod

from tsujiban.wire.messages import OpenSession
from tsujiban.wire.sessions import STDOUT, Data, End, Exit, ForwardAsk, Resize
from tsujiban.wire.spdy import RST_STREAM

pytestmark = pytest.mark.anyio

PATH = "/api/v1/namespaces/default/pods/a/portforward"
FORWARD, TUNNEL, V4 = "portforward.k8s.io", "SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"


async def upper(message: OpenSession, stream: FakeStream) -> None:
    """A server that answers in capitals, and ends when its client does; port 1 refuses."""
    assert isinstance(message.ask, ForwardAsk)
    if message.ask.port == 1:
        await stream.tell(Exit(code=1, error="connection refused"))
        return
    while not isinstance(frame := await stream.next(), End):
        assert not isinstance(frame, Resize)
        await stream.tell(Data(channel=STDOUT, data=frame.data.upper()))
    await stream.tell(End(channel=STDOUT))
    await stream.tell(Exit())


@pytest.fixture
async def who(bed: ApiBed) -> Credentials:
    await make_pod(bed)
    bed.streaming.script = upper
    return bed.user()


async def pair(client: SpdyPeer, port: str, request: str) -> tuple[int, int]:
    error = await client.open(streamtype="error", port=port, requestid=request)
    await client.send(data(error, b"", end=True))  # as kubectl does
    return error, await client.open(streamtype="data", port=port, requestid=request)


async def test_connections_over_spdy(bed: ApiBed, who: Credentials) -> None:
    async with spdy(bed, who, PATH, [], FORWARD) as client:
        first, second = await pair(client, "80", "0"), await pair(client, "81", "1")
        await client.send(data(second[1], b"second", end=True) + data(first[1], b"fi"))
        await client.send(data(first[1], b"rst", end=True))
        await client.until_ended(*first, *second)
        assert client.spdy.received[first[1]] == b"FIRST"
        assert client.spdy.received[second[1]] == b"SECOND"
        assert client.spdy.received[first[0]] == b""
    assert sorted(
        message.ask.port for message in bed.streaming.asked if isinstance(message.ask, ForwardAsk)
    ) == [
        80,
        81,
    ]


async def test_connections_over_spdy_inside_a_websocket(bed: ApiBed, who: Credentials) -> None:
    async with websocket(bed, who, PATH, [], TUNNEL) as outer:
        assert outer.protocol == TUNNEL
        client = SpdyPeer(outer.reader, outer.writer)
        error, frame = client.spdy.open(streamtype="error", port="80", requestid="0")
        await outer.send(frame)
        number, frame = client.spdy.open(streamtype="data", port="80", requestid="0")
        everything = frame + data(number, b"x" * 100_000, end=True)
        for start in range(0, len(everything), 1000):  # messages are not frames
            await outer.send(everything[start : start + 1000])
        while not {error, number} <= client.spdy.ended:
            client.spdy.feed(await outer.receive() or b"")
        assert client.spdy.received[number] == b"X" * 100_000


@pytest.mark.parametrize("port", ["1", "0", "65536", "http", ""])
async def test_what_goes_wrong_is_told_on_the_error_stream(bed: ApiBed, who: Credentials, port: str) -> None:
    async with spdy(bed, who, PATH, [], FORWARD) as client:
        error, number = await pair(client, port, "0")
        await client.until_ended(error, number)
        said = client.spdy.received[error].decode()
    assert f"port {port} of pod a" in said
    assert ("connection refused" if port == "1" else "is not a port") in said


async def test_a_reset_connection_is_ended_on_the_node_and_the_others_go_on(
    bed: ApiBed, who: Credentials
) -> None:
    async with spdy(bed, who, PATH, [], FORWARD) as client:
        first, second = await pair(client, "80", "0"), await pair(client, "80", "1")
        await until(lambda: len(bed.streaming.asked) == 2)
        await client.send(control(RST_STREAM, struct.pack(">II", first[1], 5)))
        await until(lambda: bed.streaming.over == ["default/a"])
        await client.send(data(second[1], b"on", end=True))
        await client.until_ended(second[1])
        assert client.spdy.received[second[1]] == b"ON"


async def test_a_client_that_leaves_ends_all_its_connections(bed: ApiBed, who: Credentials) -> None:
    async with spdy(bed, who, PATH, [], FORWARD) as client:
        for number in range(3):
            await pair(client, "80", str(number))
        await until(lambda: len(bed.streaming.asked) == 3)
    await until(lambda: len(bed.streaming.over) == 3)


async def test_streams_that_belong_to_nothing_are_reset(bed: ApiBed, who: Credentials) -> None:
    async with spdy(bed, who, PATH, [], FORWARD) as client:
        alone = await client.open(streamtype="data", port="80", requestid="7")
        nameless = await client.open(streamtype="error", port="80")
        while client.spdy.reset != {alone, nameless}:
            assert await client.read()
    assert bed.streaming.asked == []


@pytest.mark.parametrize("offered", [(V4,), ()])  # kr8s names none
async def test_channels_of_the_older_protocol(
    bed: ApiBed, who: Credentials, offered: tuple[str, ...]
) -> None:
    async with websocket(bed, who, PATH, [("ports", "80"), ("ports", "1")], *offered) as client:
        assert client.protocol == "".join(offered)
        heads = [await client.receive() for _ in range(4)]
        assert heads == [b"\0P\0", b"\1P\0", b"\2\1\0", b"\3\1\0"]
        await client.send(b"\0hello")
        answers = {await client.receive(), await client.receive()}
        assert answers == {b"\0HELLO", b"\3connection refused"}


async def test_an_address_to_forward_to_may_be_another_than_the_pods(bed: ApiBed, who: Credentials) -> None:
    async with websocket(bed, who, PATH, [("ports", "80"), ("host", "10.96.0.7")], V4) as client:
        await client.receive()
    assert bed.streaming.asked[0].ask == ForwardAsk(port=80, host="10.96.0.7")
    for parameters in ([("ports", "80"), ("host", "example.org")], [("ports", "")], [], [("ports", "80,x")]):
        with pytest.raises(Refused):
            async with websocket(bed, who, PATH, parameters, V4):
                pass
    assert len(bed.streaming.asked) == 1


async def deaf(_message: OpenSession, _stream: FakeStream) -> None:
    await asyncio.Event().wait()


async def test_a_slow_server_makes_its_client_wait(bed: ApiBed, who: Credentials) -> None:
    bed.streaming.script = deaf
    async with spdy(bed, who, PATH, [], FORWARD) as client:
        _, number = await pair(client, "80", "0")
        sent = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(1.5):
                while True:
                    await client.send(data(number, bytes(32768)))
                    sent += 1
        client.writer.transport.abort()
    assert sent * 32768 < 32 * 1024 * 1024


async def test_a_client_that_leaves_while_nobody_reads_from_it_is_missed(
    bed: ApiBed, who: Credentials
) -> None:
    bed.streaming.script = deaf
    async with spdy(bed, who, PATH, [], FORWARD) as client:
        _, number = await pair(client, "80", "0")
        for _ in range(40):
            await client.send(data(number, bytes(32768)))
        client.writer.transport.abort()
    await until(lambda: bed.streaming.over == ["default/a"])
