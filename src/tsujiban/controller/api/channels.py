"""The streams of a remote command, as clients speak them: WebSocket channels, or SPDY streams.

Both become the frames of a session (`wire.sessions`), and the exit status a Status object.
Source: k8s.io/apimachinery pkg/util/remotecommand (v5.channel.k8s.io, v4.channel.k8s.io).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import msgspec

from tsujiban.controller.api.upgrade import Pipe
from tsujiban.wire.sessions import MAX_DATA, STDERR, STDIN, STDOUT, Data, End, Resize, ToSession
from tsujiban.wire.spdy import Data as SpdyData
from tsujiban.wire.spdy import Opened, Reset, SpdyError, SpdyServer
from tsujiban.wire.websocket import WebSocketError

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
ERROR, RESIZE, CLOSE = 3, 4, 255
STREAMS_SECONDS = 30.0  # for a SPDY client to open its streams
_NAMES = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}


class ClientLost(Exception):
    """The client has gone, or broke the protocol."""


class Channels(Protocol):
    """A client's end of a remote command."""

    def hear(self) -> AsyncIterator[ToSession]:
        """What it sends; ends when it has gone."""

    async def tell(self, channel: int, data: bytes) -> None:
        """Output. Returns when there is room for more. Raises ConnectionError."""

    async def finish(self, status: dict[str, Any]) -> None:
        """How it ended; the last thing that is said. Raises ConnectionError."""


class _Size(msgspec.Struct, rename="pascal"):
    width: int
    height: int


def resized(data: bytes) -> Resize:
    """A terminal's size from `{"Width": 80, "Height": 24}`. Raises ClientLost."""
    try:
        size = msgspec.json.decode(data, type=_Size)
    except msgspec.MsgspecError as error:
        raise ClientLost(f"a size that is none: {error}") from None
    return Resize(columns=size.width, rows=size.height)


class WebSocketChannels:
    """One message is one piece of one channel, whose number is its first byte."""

    def __init__(self, pipe: Pipe, protocol: str) -> None:
        self._pipe = pipe
        self._closes = protocol == V5  # the client can close its standard input

    async def hear(self) -> AsyncIterator[ToSession]:
        """See `Channels`. Raises ClientLost."""
        try:
            while (messages := await self._pipe.read()) is not None:
                for message in messages:
                    for frame in self._frames(message):
                        yield frame
        except (ConnectionError, WebSocketError) as error:
            raise ClientLost(str(error)) from None

    def _frames(self, message: bytes) -> Iterator[ToSession]:
        if not message:
            return
        channel, data = message[0], message[1:]
        if channel == STDIN:
            yield from pieces(data)
        elif channel == RESIZE:
            yield resized(data)
        elif channel == CLOSE and self._closes and data == bytes([STDIN]):
            yield End(channel=STDIN)

    async def tell(self, channel: int, data: bytes) -> None:
        """See `Channels`."""
        await self._pipe.write(bytes([channel]) + data)

    async def finish(self, status: dict[str, Any]) -> None:
        """See `Channels`."""
        await self._pipe.write(bytes([ERROR]) + msgspec.json.encode(status))
        await self._pipe.finish()


class SpdyChannels:
    """One stream for each; its header `streamtype` says which."""

    def __init__(self, pipe: Pipe, expected: frozenset[str]) -> None:
        """`expected` are the stream types that the client will open."""
        self._pipe = pipe
        self._expected = expected
        self._spdy = SpdyServer()
        self._streams: dict[int, int] = {}  # our channel to the stream's id
        self._channels: dict[int, int] = {}  # and back
        self._ready = asyncio.Event()
        self._resizing = b""

    async def hear(self) -> AsyncIterator[ToSession]:
        """See `Channels`. Raises ClientLost."""
        try:
            while (pieces_read := await self._read()) is not None:
                for piece in pieces_read:
                    for event in self._spdy.feed(piece):
                        for frame in self._frames(event):
                            yield frame
                await self._flush()
        except (ConnectionError, SpdyError) as error:
            raise ClientLost(str(error)) from None

    async def _read(self) -> Iterator[bytes] | None:
        if self._ready.is_set():
            return await self._pipe.read()
        try:
            async with asyncio.timeout(STREAMS_SECONDS):
                return await self._pipe.read()
        except TimeoutError:
            raise ClientLost("the client did not open its streams in time") from None

    def _frames(self, event: object) -> Iterator[ToSession]:
        if isinstance(event, Opened):
            name = event.headers.get("streamtype", "")
            if name not in self._expected or _NAMES[name] in self._streams:
                raise ClientLost(f"a stream of type {name[:40]!r} was not to be opened")
            self._streams[_NAMES[name]] = event.stream
            self._channels[event.stream] = _NAMES[name]
            if len(self._streams) == len(self._expected):
                self._ready.set()
            if event.ended and name == "stdin":
                yield End(channel=STDIN)
        elif isinstance(event, SpdyData):
            channel = self._channels.get(event.stream)
            if channel == STDIN:
                yield from pieces(event.data)
                if event.ended:
                    yield End(channel=STDIN)
            elif channel == RESIZE:
                yield from self._sizes(event.data)
        elif isinstance(event, Reset) and self._channels.get(event.stream) == STDIN:
            yield End(channel=STDIN)

    def _sizes(self, data: bytes) -> Iterator[Resize]:
        """JSON objects one after the other, in whatever pieces."""
        self._resizing += data
        *whole, self._resizing = self._resizing.split(b"}")
        if len(self._resizing) > 256:
            raise ClientLost("a size that is none")
        for text in whole:
            yield resized(text + b"}")

    async def tell(self, channel: int, data: bytes) -> None:
        """See `Channels`."""
        await self._ready.wait()
        stream = self._streams.get(channel)
        if stream is not None:
            self._spdy.send(stream, data)
            await self._flush()

    async def finish(self, status: dict[str, Any]) -> None:
        """See `Channels`."""
        await self._ready.wait()
        self._spdy.send(self._streams[ERROR], msgspec.json.encode(status))
        for stream in self._streams.values():
            self._spdy.finish(stream)
        await self._flush()
        await self._pipe.finish()

    async def _flush(self) -> None:
        await self._pipe.write(self._spdy.take())


def pieces(data: bytes) -> Iterator[Data]:
    """Input in frames that are not too long for a session."""
    for start in range(0, len(data), MAX_DATA):
        yield Data(channel=STDIN, data=data[start : start + MAX_DATA])


def exit_status(code: int, error: str) -> dict[str, Any]:
    """The Status object of a command that has ended, as client-go reads it."""
    if error:
        return {
            "metadata": {},
            "status": "Failure",
            "message": error,
            "reason": "InternalError",
            "code": 500,
        }
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
