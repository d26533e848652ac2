from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.support.apibed import ApiBed
from tests.support.wait import PATIENCE

from tsujiban.controller.api import peer

pytestmark = pytest.mark.anyio

REQUEST = b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n"


async def connect(bed: ApiBed) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", bed.port, ssl=bed.tls(bed.user()))


async def ended(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    except ConnectionError:
        return b""


@pytest.mark.parametrize("beginning", [b"", b"GET /version HTTP/1.1\r\nho", b"GET"])
async def test_headers_must_come_in_time(
    bed: ApiBed, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(peer, "HEADER_SECONDS", 0.2)
    reader, writer = await connect(bed)
    writer.write(beginning)
    assert await ended(reader) == b""
    writer.close()


async def test_the_clock_starts_again_with_the_next_request(
    bed: ApiBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await connect(bed)
    writer.write(REQUEST)
    assert b" 200 " in await reader.readline()
    monkeypatch.setattr(peer, "HEADER_SECONDS", 0.2)
    writer.write(b"GET / HT")
    assert b" HTTP" not in await ended(reader)
    writer.close()


async def test_the_clock_does_not_run_while_an_answer_is_sent(
    bed: ApiBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await connect(bed)
    writer.write(REQUEST)
    assert b" 200 " in await reader.readline()
    monkeypatch.setattr(peer, "HEADER_SECONDS", 0.1)  # from the first byte of the next, which comes whole
    writer.write(b"GET /api/v1/secrets?watch=1&timeoutSeconds=1 HTTP/1.1\r\nhost: x\r\n\r\n")
    answer = b""
    async with asyncio.timeout(PATIENCE):
        while not answer.endswith(b"0\r\n\r\n"):
            answer += await reader.readexactly(1)
    writer.close()


async def test_every_request_of_a_connection_has_its_user(bed: ApiBed) -> None:
    reader, writer = await connect(bed)
    writer.write(REQUEST + REQUEST)
    async with asyncio.timeout(PATIENCE):
        found = b""
        while found.count(b"HTTP/1.1 200") < 2:
            found += await reader.read(1000)
    writer.close()


async def test_garbage_is_refused(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    reader, writer = await connect(bed)
    writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
    assert b" 400 " in await ended(reader)
    writer.close()
    assert (await admin.get("/version")).status_code == 200
