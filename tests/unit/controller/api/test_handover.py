from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from structlog.testing import capture_logs
from tests.support.apibed import ApiBed
from tests.support.wait import PATIENCE, until

from tsujiban.controller.api import handover
from tsujiban.controller.api.handover import HandedOver, LineStream
from tsujiban.controller.api.peer import PeerProtocol
from tsujiban.controller.api.scope import HAND_OVER

pytestmark = pytest.mark.anyio

WATCH = "/api/v1/namespaces/default/secrets?watch=1"
GET = "GET {} HTTP/1.1\r\nhost: x\r\n{}\r\n"


async def connect(bed: ApiBed) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", bed.port, ssl=bed.tls(bed.user()))


async def head(reader: asyncio.StreamReader) -> str:
    async with asyncio.timeout(PATIENCE):
        return (await reader.readuntil(b"\r\n\r\n")).decode()


async def watching(bed: ApiBed, more: str = "", headers: str = "") -> tuple[asyncio.StreamReader, Any]:
    reader, writer = await connect(bed)
    writer.write(GET.format(WATCH + more, headers).encode())
    assert (await head(reader)).startswith("HTTP/1.1 200")
    return reader, writer


async def change(admin: httpx.AsyncClient, name: str = "s") -> None:
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    assert (await admin.post("/api/v1/namespaces/default/secrets", json=made)).status_code == 201


async def test_behind_its_end_the_connection_takes_the_next_request(
    bed: ApiBed, admin: httpx.AsyncClient
) -> None:
    await change(admin)  # which comes before its time can be over
    reader, writer = await watching(bed, "&timeoutSeconds=1")
    size = int(await reader.readline(), 16)
    assert b'"ADDED"' in await reader.readexactly(size)
    assert await reader.readexactly(7) == b"\r\n0\r\n\r\n"
    writer.write(GET.format("/version", "").encode())
    assert (await head(reader)).startswith("HTTP/1.1 200")
    writer.close()


async def test_the_next_request_may_come_early(bed: ApiBed) -> None:
    reader, writer = await watching(bed, "&timeoutSeconds=1")
    writer.write(GET.format("/version", "").encode())
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"0\r\n\r\n")
    assert (await head(reader)).startswith("HTTP/1.1 200")
    writer.close()


async def test_a_connection_that_is_to_be_closed_is(bed: ApiBed) -> None:
    reader, writer = await watching(bed, "&timeoutSeconds=1", "connection: close\r\n")
    async with asyncio.timeout(PATIENCE):
        assert (await reader.read()).endswith(b"0\r\n\r\n")
    writer.close()


async def test_who_sends_without_end_is_cut_off(bed: ApiBed) -> None:
    reader, writer = await watching(bed)
    writer.write(b"x" * (handover.READ_AHEAD + 1))
    rest = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            rest = await reader.read()
    assert not rest.endswith(b"0\r\n\r\n")
    writer.close()


async def test_nothing_of_the_request_stays(bed: ApiBed) -> None:
    def counted() -> Counter[type]:
        return Counter(type(one) for one in gc.get_objects())

    held = [await watching(bed)]
    gc.collect()
    gc.disable()  # what goes, goes by itself
    try:
        before = counted()
        held += [await watching(bed) for _ in range(5)]
        await until(lambda: counted()[LineStream] == before[LineStream] + 5)
        after = counted()
    finally:
        gc.enable()
    assert {kind: after[kind] - before[kind] for kind in (PeerProtocol, Request)} == {
        PeerProtocol: 0,
        Request: 0,
    }
    for _, writer in held:
        writer.close()


async def test_a_client_that_leaves_ends_its_watch(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    _, writer = await watching(bed)
    writer.transport.abort()
    await until(lambda: [e["stage"] for e in bed.audit if e["verb"] == "watch"][-1:] == ["ResponseComplete"])
    started, complete = (e for e in bed.audit if e["verb"] == "watch")
    assert started["auditID"] == complete["auditID"]
    assert started["stageTimestamp"] < complete["stageTimestamp"]
    assert complete["objectRef"] == started["objectRef"]


class Transport(asyncio.Transport):
    """One that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ended = ""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Stream:
    """A stream of what the test says, without end."""

    def __init__(self) -> None:
        self.transport, self.open_ones, self.told = Transport(), set[Any](), list[str]()
        self.chunks: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.stream = LineStream(self.transport, None, self.open_ones)
        self.stream.begin(self._source(), (lambda: self.told.append("ended"),))

    async def _source(self) -> AsyncGenerator[bytes, None]:
        try:
            while chunk := await self.chunks.get():
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk
        finally:
            self.told.append("source")

    async def over(self) -> None:
        await until(lambda: bool(self.transport.ended))
        assert self.told == ["source", "ended"]
        assert not self.open_ones


async def test_a_source_that_ends_ends_the_answer() -> None:
    one = Stream()
    for chunk in (b"a" * 17, b""):
        one.chunks.put_nowait(chunk)
    await one.over()
    assert one.transport.sent == [b"11\r\n" + b"a" * 17 + b"\r\n", b"0\r\n\r\n"]
    assert one.transport.ended == "closed"


async def test_a_client_that_reads_no_more_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "SEND_SECONDS", 0.05)
    one = Stream()
    one.stream.pause_writing()
    one.chunks.put_nowait(b"a")
    await one.over()
    assert one.transport.ended == "aborted"


async def test_a_slow_client_that_catches_up_is_served_on() -> None:
    one = Stream()
    one.stream.pause_writing()
    one.chunks.put_nowait(b"a")
    one.chunks.put_nowait(b"b")
    await until(lambda: len(one.transport.sent) == 1)
    await asyncio.sleep(0)
    assert len(one.transport.sent) == 1
    one.stream.resume_writing()
    await until(lambda: len(one.transport.sent) == 2)
    one.stream.shutdown()
    await one.over()


@pytest.mark.parametrize("begun", [False, True])
async def test_the_end_of_the_server_is_the_end_of_the_stream(begun: bool) -> None:
    one = Stream()
    if begun:
        await asyncio.sleep(0)
    one.stream.shutdown()
    await until(lambda: bool(one.transport.ended))
    assert one.told == (["source", "ended"] if begun else ["ended"])
    assert not one.open_ones
    assert one.transport.ended == "aborted"
    assert one.transport.sent == []


async def test_a_broken_source_leaves_the_answer_unfinished() -> None:
    one = Stream()
    with capture_logs() as told:
        one.chunks.put_nowait(ValueError("broken"))
        await one.over()
    assert one.transport.ended == "aborted"
    assert [line["error"] for line in told] == ["ValueError('broken')"]


async def test_who_has_left_already_gets_nothing() -> None:
    told = []

    async def source() -> AsyncGenerator[bytes, None]:
        yield b"never"

    async def send(message: Any) -> None:
        told.append(message["type"])

    answer = HandedOver(source())
    answer.ended.append(lambda: told.append("ended"))
    scope = {"extensions": {HAND_OVER: {"hand_over": lambda *_: False}}}
    await answer(scope, None, send)  # type: ignore[arg-type]  # it asks for nothing
    assert told == ["http.response.start", "ended"]
