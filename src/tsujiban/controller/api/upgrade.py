"""Requests that turn their connection into something else: WebSocket, or SPDY for older `kubectl`.

Until it is accepted such a request is like any other, so a refusal is an HTTP status with a Status object, by
which clients decide whether to try the other protocol.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tsujiban.controller.api.errors import ApiError, bad_request
from tsujiban.controller.api.scope import UPGRADE
from tsujiban.wire.together import first_failure
from tsujiban.wire.websocket import WebSocket, WebSocketError, accept_token

SPDY = "SPDY/3.1"
STREAM_PROTOCOL = "X-Stream-Protocol-Version"
ESTABLISHED = 1  # tcpi_state, the first byte of struct tcp_info (tcp(7))
LOOK_SECONDS = 1.0  # between looks at the connection, and how long it may be half closed
CLOSE_SECONDS = 2.0  # for the client to take what was sent last, before the connection is closed
CHUNK = 64 * 1024


class ServerEnds(ConnectionError):
    """Our own end has closed the connection; the client has not left."""


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Chosen(msgspec.Struct, frozen=True):
    """What has been agreed on: `websocket` or SPDY, the protocol inside, and the headers that say so."""

    websocket: bool
    protocol: str
    headers: dict[str, str]


class Upgraded(Response):
    """101, then `serve` has the connection. It is closed when `serve` returns."""

    def __init__(self, chosen: Chosen, serve: Serve) -> None:
        super().__init__(status_code=101)
        self._lines = chosen.headers
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the connection over (ASGI has no part in it)."""
        try:
            reader, writer = scope["extensions"][UPGRADE]["take_over"]()
        except ConnectionError:
            return
        _keep_alive(writer)
        try:
            head = "".join(f"{name}: {value}\r\n" for name, value in self._lines.items())
            writer.write(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode("ascii"))
            with suppress(ConnectionError):  # the client may leave at any time
                await _while_there(self._serve(reader, writer), writer)
        finally:
            writer.close()


async def _while_there(serving: Awaitable[None], writer: asyncio.StreamWriter) -> None:
    """Serve while the client is there. While nobody reads from it (its pod takes nothing) its leaving would
    not be seen, and its command would be left running; so the kernel is asked."""
    await first_failure(serving, _departure(writer))


async def _departure(writer: asyncio.StreamWriter) -> None:
    """Returns when the client has closed its end; one whose last bytes find no room is given up by its own
    kernel after a minute or two, and then by ours (`_keep_alive`)."""
    connection = writer.get_extra_info("socket")
    away = False
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        except OSError:  # closed, or of another kind
            return
        if state != ESTABLISHED and away:
            return
        away = state != ESTABLISHED


def negotiate(
    request: Request, *, websocket: Sequence[str], spdy: Sequence[str], unnamed: str = ""
) -> Chosen:
    """Choose among the protocols that are served, the best first. `unnamed` is that of a WebSocket whose
    client names none; "" refuses it.

    Raises:
        ApiError: 400, the request asks for no upgrade, or for none that is served.
    """
    wanted = request.headers.get("upgrade", "").lower()
    if UPGRADE not in request.scope.get("extensions", {}):
        raise bad_request("this path needs an upgraded connection: WebSocket, or SPDY/3.1")
    if wanted == "websocket":
        offered = _offered(request, "sec-websocket-protocol")
        protocol = unnamed if unnamed and not offered else _choose(offered, websocket)
        if request.headers.get("sec-websocket-version") != "13":
            raise ApiError(426, "BadRequest", "Sec-WebSocket-Version must be 13")
        try:
            token = accept_token(request.headers.get("sec-websocket-key", ""))
        except WebSocketError as error:
            raise bad_request(str(error)) from None
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Accept": token}
        if offered:
            headers["Sec-WebSocket-Protocol"] = protocol
        return Chosen(True, protocol, headers)
    if wanted == SPDY.lower():
        protocol = _choose(_offered(request, STREAM_PROTOCOL), spdy)
        return Chosen(False, protocol, {"Connection": "Upgrade", "Upgrade": SPDY, STREAM_PROTOCOL: protocol})
    raise bad_request(f"Upgrade: {wanted[:60]!r} is not served; use websocket, or SPDY/3.1")


class Pipe:
    """A connection on which bytes are exchanged: bare, or (`websocket`) as messages of a WebSocket."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, websocket: bool
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._socket = WebSocket() if websocket else None

    async def read(self) -> Iterator[bytes] | None:
        """What came next, in pieces; None at the end. Raises ConnectionError, WebSocketError."""
        if self._socket is not None and self._socket.closed:
            return None
        data = await self._reader.read(CHUNK)
        if not data:
            return None
        if self._socket is None:
            return iter((data,))
        try:
            return iter(list(self._socket.feed(data)))
        finally:
            self._writer.write(self._socket.take())  # an answer to a ping, or to a close

    async def write(self, data: bytes) -> None:
        """Returns when there is room for more. Raises ConnectionError."""
        if self._socket is not None and data:
            self._socket.send(data)
            data = self._socket.take()
        self._writer.write(data)
        await self._writer.drain()

    async def finish(self) -> None:
        """Say that nothing follows. Raises ConnectionError."""
        if self._socket is not None:
            self._socket.close()
            self._writer.write(self._socket.take())
        await self._writer.drain()

    async def linger(self) -> None:
        """Let the client read to the end and hang up: bytes of its own that nobody read would make the kernel
        reset the connection, and take from it what is still on its way."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_SECONDS):
                while await self._reader.read(CHUNK):
                    pass


def _offered(request: Request, header: str) -> list[str]:
    lines = request.headers.getlist(header)
    return [word.strip() for line in lines for word in line.split(",") if word.strip()]


def _choose(offered: Sequence[str], served: Sequence[str]) -> str:
    for protocol in served:
        if protocol in offered:
            return protocol
    asked = ", ".join(offered)[:200] or "none"
    raise bad_request(f"the client offers the protocols: {asked}; this server speaks: {', '.join(served)}")


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Such a connection may be silent for hours; the kernel finds out when its peer is gone."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
