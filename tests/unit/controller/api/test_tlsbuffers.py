from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from tests.support.pki import Pki

from tsujiban.controller.api import tlsbuffers

pytestmark = pytest.mark.anyio


class Receiver(asyncio.Protocol):
    def __init__(self, done: asyncio.Future[int]) -> None:
        self.largest = self.received = 0
        self.done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.largest = max(self.largest, len(data))
        self.received += len(data)
        if self.received >= 100_000:
            self.done.set_result(self.received)


async def test_connections_keep_small_buffers_and_take_large_bodies(tmp_path: Path) -> None:
    tlsbuffers.bound()
    pki = Pki(tmp_path)
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    found: list[Receiver] = []

    def made() -> Receiver:
        found.append(Receiver(done))
        return found[0]

    context = pki.server()
    context.verify_mode = ssl.CERT_NONE
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        client = ssl.create_default_context(cadata=pki.ca.bundle_pem)
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
        writer.write(b"x" * 100_000)
        assert await asyncio.wait_for(done, 30) == 100_000
        kept = found[0].transport._ssl_protocol._ssl_buffer  # type: ignore[attr-defined]  # what is to be small
        assert len(kept) == tlsbuffers.READ_BYTES
        writer.close()
