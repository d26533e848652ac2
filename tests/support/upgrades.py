"""Clients of upgraded connections, over real TLS: WebSocket and SPDY as kubectl speaks them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from tests.support.apibed import ApiBed, Credentials
from tests.support.spdyclient import SpdyClient

from tsujiban.wire.websocket import WebSocket

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Refused(Exception):
    """The server answered with something else than 101."""

    def __init__(self, code: int, status: dict[str, Any]) -> None:
        super().__init__(f"{code}: {status.get('message')}")
        self.code = code
        self.status = status


@asynccontextmanager
async def upgraded(
    bed: ApiBed,
    who: Credentials | None,
    path: str,
    parameters: list[tuple[str, str]],
    headers: dict[str, str],
    method: str = "GET",
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, dict[str, str]]]:
    """A connection after its 101, and the response's headers. Raises Refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bed.port, ssl=bed.tls(who))
    try:
        lines = [f"{method} {path}?{urlencode(parameters)} HTTP/1.1", "Host: t", "Connection: Upgrade"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        code = int(head[0].split()[1])
        answered = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        if code != 101:
            body = await reader.read()
            raise Refused(code, json.loads(body))
        yield reader, writer, answered
    finally:
        writer.close()


class WsClient:
    """Messages over a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: str) -> None:
        self.reader = reader
        self.writer = writer
        self.protocol = protocol
        self.socket = WebSocket(client=True)
        self._waiting: list[bytes] = []

    async def send(self, message: bytes) -> None:
        self.socket.send(message)
        self.writer.write(self.socket.take())
        await self.writer.drain()

    async def receive(self) -> bytes | None:
        """The next message; None at the end."""
        while not self._waiting:
            if self.socket.closed or not (data := await self.reader.read(65536)):
                return None
            self._waiting += self.socket.feed(data)
            self.writer.write(self.socket.take())
        return self._waiting.pop(0)

    async def rest(self) -> dict[int, bytes]:
        """Everything up to the end, by channel."""
        found: dict[int, bytes] = {}
        while (message := await self.receive()) is not None:
            found[message[0]] = found.get(message[0], b"") + message[1:]
        return found


@asynccontextmanager
async def websocket(
    bed: ApiBed, who: Credentials | None, path: str, parameters: list[tuple[str, str]], *protocols: str
) -> AsyncIterator[WsClient]:
    headers = {
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    if protocols:
        headers["Sec-WebSocket-Protocol"] = ", ".join(protocols)
    async with upgraded(bed, who, path, parameters, headers) as (reader, writer, answered):
        assert answered["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        yield WsClient(reader, writer, answered.get("sec-websocket-protocol", ""))


class SpdyPeer:
    """Frames over a bare connection, or in a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.spdy = SpdyClient()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def open(self, *, end: bool = False, **headers: str) -> int:
        stream, frame = self.spdy.open(end=end, **headers)
        await self.send(frame)
        return stream

    async def read(self) -> bool:
        """Take what came; False at the end."""
        data = await self.reader.read(65536)
        self.spdy.feed(data)
        return bool(data)

    async def until_ended(self, *streams: int) -> None:
        while not set(streams) <= self.spdy.ended:
            assert await self.read(), "the server hung up"


@asynccontextmanager
async def spdy(
    bed: ApiBed, who: Credentials | None, path: str, parameters: list[tuple[str, str]], *protocols: str
) -> AsyncIterator[SpdyPeer]:
    headers = {
        "Upgrade": "SPDY/3.1",
        "X-Stream-Protocol-Version": ", ".join(protocols),
        "Content-Length": "0",
    }
    async with upgraded(bed, who, path, parameters, headers, "POST") as (reader, writer, answered):
        assert answered["upgrade"] == "SPDY/3.1"
        assert answered["x-stream-protocol-version"] in protocols
        yield SpdyPeer(reader, writer)
