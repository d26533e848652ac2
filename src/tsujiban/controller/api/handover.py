"""A connection that has become one long answer: a watch, which is silent for most of an hour.

Such an answer needs a source, a socket, and somebody who waits for both. It would keep much more alive: the
request with its headers, the parser, and every frame between them and the source, some 35 KiB a watch. So the
connection is taken out of HTTP's hands for as long as the answer lasts, and given back behind its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any, Protocol

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tsujiban.controller.api.responses import JSON, SEND_SECONDS
from tsujiban.controller.api.scope import HAND_OVER

log = structlog.get_logger(__name__)

READ_AHEAD = 64 * 1024  # bytes of the next requests, which a client may send while the answer lasts

Ended = Callable[[], None]
HandOver = Callable[
    [AsyncGenerator[bytes, None], tuple[Ended, ...]], bool
]  # whether the client is still there


class Successor(Protocol):
    """Who has the connection when the answer has ended."""

    def take_back(self, transport: asyncio.Transport, early: bytes) -> None:
        """Go on, with what the client has sent meanwhile."""


class LineStream(asyncio.Protocol):
    """The connection while the answer lasts, of which HTTP's head is sent already (with chunked encoding).

    `successor` makes whoever has it then; without one it is closed. `open_ones` are the server's connections.
    """

    __slots__ = ("_early", "_open_ones", "_room", "_successor", "_task", "transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        successor: Callable[[], Successor] | None,
        open_ones: set[Any],
    ) -> None:
        self.transport = transport
        self._successor = successor
        self._open_ones = open_ones
        self._room: asyncio.Future[None] | None = None  # while the client is slow
        self._early = b""
        self._task: asyncio.Task[None] | None = None

    def begin(self, source: AsyncGenerator[bytes, None], ended: tuple[Ended, ...]) -> None:
        """Pass on what `source` gives, until it, the client or the server ends; `ended` are told."""
        self.transport.set_protocol(self)
        self._open_ones.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run(source))
        self._task.add_done_callback(partial(self._over, ended))  # also of a task that never began

    async def _run(self, source: AsyncGenerator[bytes, None]) -> None:
        try:
            async for chunk in source:
                if chunk:
                    self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                chunk = b""  # it may be megabytes, and the next may be hours away
                if self._room is not None:
                    async with asyncio.timeout(SEND_SECONDS):
                        await self._room
        finally:
            await source.aclose()

    def _over(self, ended: tuple[Ended, ...], task: asyncio.Task[None]) -> None:
        self._task = None
        self._open_ones.discard(self)
        for tell in ended:
            tell()
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            self._finish()
            return
        if error is not None and not isinstance(error, TimeoutError):  # which is a client that reads no more
            log.error("a stream broke", error=repr(error))
        self.transport.abort()  # an unfinished body tells the client that something is missing

    def _finish(self) -> None:
        self.transport.write(b"0\r\n\r\n")
        if self._successor is None or self.transport.is_closing():
            self.transport.close()
        else:
            self._successor().take_back(self.transport, self._early)

    def data_received(self, data: bytes) -> None:
        """The client's next request comes early."""
        self._early += data
        if len(self._early) > READ_AHEAD:
            self.transport.abort()

    def pause_writing(self) -> None:
        """The client is slow."""
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        self.shutdown()

    def shutdown(self) -> None:
        """The server ends."""
        if self._task is not None:
            self._task.cancel()


class HandedOver(Response):
    """An answer in lines that outlives its request. `ended` is told when it is over, or never began."""

    def __init__(self, source: AsyncGenerator[bytes, None], media_type: str = JSON) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._source = source
        self.ended: list[Ended] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head (ASGI), and let go of the rest."""
        begun = False
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            hand_over: HandOver = scope["extensions"][HAND_OVER]["hand_over"]
            begun = hand_over(self._source, tuple(self.ended))
        finally:
            if not begun:
                await self._source.aclose()
                for tell in self.ended:
                    tell()
