from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.support.apibed import ApiBed
from tests.support.wait import PATIENCE

from tsujiban.controller.api import doors, places

pytestmark = pytest.mark.anyio


async def silent(bed: ApiBed, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection without a handshake."""
    return await asyncio.open_connection("127.0.0.1", bed.port, local_addr=(source, 0))


async def ended(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    except ConnectionError:
        return b""


@pytest.mark.parametrize("beginning", [b"", b"\x16\x03\x01\x02\x00\x01\x00"])
async def test_a_handshake_must_be_done_in_time(
    bed: ApiBed, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr("asyncio.constants.SSL_HANDSHAKE_TIMEOUT", 3600.0)  # which is not what ends it
    monkeypatch.setattr(doors, "HANDSHAKE_SECONDS", 0.2)
    reader, writer = await silent(bed)
    writer.write(beginning)
    assert await ended(reader) == b""
    writer.close()


async def test_a_peer_has_its_share_of_handshakes_and_no_more(
    bed: ApiBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MAX_PER_ADDRESS", 2)
    held = [await silent(bed, "127.0.0.2") for _ in range(2)]
    reader, writer = await silent(bed, "127.0.0.2")
    assert await ended(reader) == b""
    writer.close()
    async with bed.client(bed.user()) as other:  # from another address
        assert (await other.get("/version")).status_code == 200
    for _, writer in held:
        writer.close()
    await until_free(bed, "127.0.0.2")


async def until_free(bed: ApiBed, source: str) -> None:
    transport = httpx.AsyncHTTPTransport(verify=bed.tls(bed.user()), local_address=source)
    async with (
        asyncio.timeout(PATIENCE),
        httpx.AsyncClient(transport=transport, base_url=f"https://127.0.0.1:{bed.port}") as client,
    ):
        while True:
            try:
                assert (await client.get("/version")).status_code == 200
                return
            except httpx.TransportError:  # the server has not seen them go
                await asyncio.sleep(0.01)


async def test_all_peers_together_have_no_more_than_there_are(
    bed: ApiBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MAX_UNPROVEN", 1)
    _, first = await silent(bed, "127.0.0.2")
    reader, second = await silent(bed, "127.0.0.3")
    assert await ended(reader) == b""
    first.close()
    second.close()
