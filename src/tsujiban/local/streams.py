"""Into a pod through the API: a WebSocket for a command, one for each forwarded connection.

The same that `kubectl` does, so it works from wherever the API is reached.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

from tsujiban.local.client import CONNECT_SECONDS, ApiError
from tsujiban.local.kubeconfig import Access
from tsujiban.local.unreachable import unreachable
from tsujiban.wire.websocket import WebSocket, accept_token

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
CHUNK = 32 * 1024
MAX_REFUSAL = 1 << 20  # bytes of an answer that is no upgrade

Parameters = Sequence[tuple[str, str]]


class Socket:
    """A WebSocket to the API server; messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._socket = WebSocket(client=True)
        self._waiting: list[bytes] = []

    async def send(self, message: bytes) -> None:
        """Returns when there is room for more. Raises ConnectionError."""
        self._socket.send(message)
        self._writer.write(self._socket.take())
        await self._writer.drain()

    async def receive(self) -> bytes | None:
        """The next message; None at the end. Raises ConnectionError, WebSocketError."""
        while not self._waiting:
            if self._socket.closed or not (data := await self._reader.read(CHUNK)):
                return None
            self._waiting += self._socket.feed(data)
            self._writer.write(self._socket.take())
        return self._waiting.pop(0)


@asynccontextmanager
async def websocket(
    access: Access, path: str, parameters: Parameters, protocol: str
) -> AsyncIterator[Socket]:
    """Open one. Raises ApiError when it is refused, Unreachable when nobody answers."""
    address = urlsplit(access.server)
    host, port = address.hostname or "", address.port or 443
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port, ssl=access.ssl_context())
            await _upgrade(reader, writer, access, f"{path}?{urlencode(parameters)}", protocol)
    except (OSError, ssl.SSLError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise unreachable(access, error) from error
    try:
        yield Socket(reader, writer)
    finally:
        writer.close()


async def _upgrade(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, access: Access, path: str, protocol: str
) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    headers = {
        "Host": urlsplit(access.server).netloc,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Protocol": protocol,
        **access.headers(),
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    code = int(first.split(" ")[1]) if first.startswith("HTTP/1.1 ") else 502
    if code != 101:
        writer.close()
        raise ApiError(code, _status(await reader.read(MAX_REFUSAL), first))
    answered = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    if answered.get("sec-websocket-accept") != accept_token(key):
        writer.close()
        raise ApiError(502, {"message": "what answers is no WebSocket server"})


def _status(body: bytes, first: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {"message": first}
    return found if isinstance(found, dict) else {"message": first}


def exit_code(status: bytes) -> tuple[int, str]:
    """Exit status of a command, and what to say when it has none, from the Status object of its end."""
    try:
        found = json.loads(status)
    except ValueError:
        return 1, "the connection was lost before the command ended"
    if found.get("status") == "Success":
        return 0, ""
    for cause in (found.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"]), ""
    return 1, str(found.get("message") or "the command did not end by itself")


async def execute(socket: Socket, given: AsyncIterator[bytes] | None, write: Any) -> tuple[int, str]:
    """Pass input on and give output to `write(channel, data)` until the command has ended: see `exit_code`.

    Messages of `given` are whole: the channel's number first. Raises ConnectionError, WebSocketError.
    """
    sending = asyncio.ensure_future(_send_all(socket, given)) if given is not None else None
    status = b""
    try:
        while (message := await socket.receive()) is not None:
            if message[:1] == bytes([ERROR]):
                status += message[1:]
            elif message:
                write(message[0], message[1:])
    finally:
        if sending is not None:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    return exit_code(status)


async def _send_all(socket: Socket, given: AsyncIterator[bytes]) -> None:
    async for message in given:
        await socket.send(message)


async def forward(
    access: Access,
    path: str,
    port: int,
    host: str,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> str:
    """Join a local connection to one into a pod until either has ended; what went wrong, or "".

    Raises ApiError, Unreachable, ConnectionError, WebSocketError.
    """
    parameters = [("ports", str(port)), *([("host", host)] if host else [])]
    async with websocket(access, path, parameters, V4) as socket:
        sending = asyncio.ensure_future(_give(reader, socket))
        problem, heads = "", 2
        try:
            while (message := await socket.receive()) is not None:
                if heads:
                    heads -= 1  # the port's number, once for each channel
                elif message[:1] == b"\1":
                    problem += message[1:].decode(errors="replace")
                else:
                    writer.write(message[1:])
                    await writer.drain()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    return problem


async def _give(reader: asyncio.StreamReader, socket: Socket) -> None:
    while data := await reader.read(CHUNK):
        await socket.send(b"\0" + data)
    await socket.send(bytes([CLOSE, STDIN]))
