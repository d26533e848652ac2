"""`pods/portforward`: TCP connections into a pod.

`kubectl` since 1.31 speaks SPDY inside a WebSocket, before that bare SPDY, and falls back to it; both open
two streams for each connection, one for its bytes and one for an error. Client libraries use the older
WebSocket protocol, two channels for each port.
Source: k8s.io/client-go tools/portforward, k8s.io/kubelet pkg/cri/streaming/portforward.
"""

from __future__ import annotations

import asyncio
import ipaddress
from contextlib import AsyncExitStack, suppress

import structlog
from starlette.requests import Request
from starlette.responses import Response

from tsujiban.controller.api import pods
from tsujiban.controller.api.channels import CLOSE, V4, pieces
from tsujiban.controller.api.dispatch import Call
from tsujiban.controller.api.errors import ApiError, bad_request
from tsujiban.controller.api.upgrade import Pipe, Upgraded, negotiate
from tsujiban.controller.sessions import Session, Sessions
from tsujiban.wire.sessions import STDIN, Data, End, Exit, ForwardAsk
from tsujiban.wire.spdy import Data as SpdyData
from tsujiban.wire.spdy import Event, Opened, Reset, SpdyError, SpdyServer
from tsujiban.wire.transport import StreamLost
from tsujiban.wire.websocket import WebSocketError

log = structlog.get_logger(__name__)

FORWARD = "portforward.k8s.io"
TUNNEL = f"SPDY/3.1+{FORWARD}"
MAX_PORTS = 32  # of one request of the older protocol
QUEUE = 32  # pieces of one connection that wait for the pod; then the client waits


async def forward(sessions: Sessions, call: Call) -> Response:
    """Serve whichever protocol the client speaks."""
    pod = await pods.find(call)
    pod.must_run()
    chosen = negotiate(call.request, websocket=(TUNNEL, V4), spdy=(FORWARD,), unnamed=V4)
    stack = AsyncExitStack()
    opened: list[tuple[int, Session]] = []
    if chosen.protocol == V4:  # it says beforehand what it wants, so that it can be refused
        for asked in _asks(call.request):
            try:
                session = await stack.enter_async_context(pods.session(sessions, pod, asked))
            except ApiError:
                await stack.aclose()
                raise
            opened.append((asked.port, session))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pipe = Pipe(reader, writer, websocket=chosen.websocket)
        async with stack:
            try:
                if chosen.protocol == V4:
                    await _PortChannels(pipe, opened).run()
                else:
                    await _Tunnel(pipe, sessions, pod).run()
                await pipe.finish()
            except (SpdyError, WebSocketError) as error:
                log.info("a client broke the protocol", user=call.user.name, reason=str(error))
                return
            await pipe.linger()

    return Upgraded(chosen, serve)


def _asks(request: Request) -> list[ForwardAsk]:
    words = [word for line in request.query_params.getlist("ports") for word in line.split(",")]
    if not words or len(words) > MAX_PORTS:
        raise bad_request(f"ports must name 1 to {MAX_PORTS} ports")
    host = request.query_params.get("host", "")
    if host:
        try:
            host = str(ipaddress.ip_address(host))
        except ValueError:
            raise bad_request(f"host {host[:60]!r} is not an address") from None
    return [ForwardAsk(port=_port(word), host=host) for word in words]


def _port(word: str) -> int:
    if not word.isascii() or not word.isdigit() or not 0 < int(word[:6]) < 65536:
        raise bad_request(f"{word[:20]!r} is not a port")
    return int(word)


class _Connection:
    """One forwarded connection of a tunnel."""

    def __init__(self, error: int, port: str) -> None:
        self.error = error  # the stream for what goes wrong
        self.port = port
        self.data = 0  # the stream for the bytes, once it is open
        self.queue: asyncio.Queue[Data | End] = asyncio.Queue(QUEUE)
        self.task: asyncio.Task[None] | None = None


class _Tunnel:
    """A SPDY connection that carries any number of forwarded ones."""

    def __init__(self, pipe: Pipe, sessions: Sessions, pod: pods.Pod) -> None:
        self._pipe = pipe
        self._sessions = sessions
        self._pod = pod
        self._spdy = SpdyServer()
        self._requests: dict[str, _Connection] = {}  # by the client's request id
        self._streams: dict[int, _Connection] = {}  # by data stream

    async def run(self) -> None:
        """Until the client hangs up. Raises SpdyError, WebSocketError, ConnectionError."""
        try:
            while (read := await self._pipe.read()) is not None:
                for piece in read:
                    for event in self._spdy.feed(piece):
                        await self._on(event)
                await self._flush()
        finally:
            tasks = [entry.task for entry in self._requests.values() if entry.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _on(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._open(event)
        elif isinstance(event, SpdyData):
            connection = self._streams.get(event.stream)
            if connection is None:
                return  # the end of an error stream, on which clients say nothing
            for piece in pieces(event.data):
                await self._give(connection, piece)
            if event.ended:
                await self._give(connection, End(channel=STDIN))
        elif isinstance(event, Reset):
            connection = self._streams.get(event.stream)
            if connection is not None and connection.task is not None:
                connection.task.cancel()

    async def _give(self, connection: _Connection, frame: Data | End) -> None:
        """Queue; while it is full, nothing more is read from this client."""
        putting = asyncio.ensure_future(connection.queue.put(frame))
        try:
            either: set[asyncio.Future[None]] = {putting, *((connection.task,) if connection.task else ())}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            putting.cancel()

    def _open(self, event: Opened) -> None:
        kind, request = event.headers.get("streamtype"), event.headers.get("requestid", "")
        known = self._requests.get(request)
        if kind == "error" and request and known is None:
            self._requests[request] = _Connection(event.stream, event.headers.get("port", ""))
        elif kind == "data" and known is not None and not known.data:
            known.data = event.stream
            self._streams[event.stream] = known
            known.task = asyncio.create_task(self._connect(request, known))
        else:
            self._spdy.reset(event.stream)

    async def _connect(self, request: str, connection: _Connection) -> None:
        problem = ""
        try:
            asked = ForwardAsk(port=_port(connection.port))
            async with pods.session(self._sessions, self._pod, asked) as session:
                problem = await self._relay(connection, session)
        except (ApiError, StreamLost) as error:
            problem = str(error)
        finally:
            self._requests.pop(request, None)
            self._streams.pop(connection.data, None)
            with suppress(ConnectionError):
                await self._end(connection, problem)

    async def _end(self, connection: _Connection, problem: str) -> None:
        if problem:
            where = f"port {connection.port} of pod {self._pod.name}"
            self._spdy.send(connection.error, f"{where}: {problem}".encode())
        self._spdy.finish(connection.error)
        self._spdy.finish(connection.data)
        await self._flush()

    async def _relay(self, connection: _Connection, session: Session) -> str:
        giving = asyncio.ensure_future(_give_all(connection.queue, session))
        try:
            while not isinstance(frame := await session.receive(), Exit):
                if isinstance(frame, Data):
                    self._spdy.send(connection.data, frame.data)
                    await self._flush()
                elif isinstance(frame, End):
                    self._spdy.finish(connection.data)
                    await self._flush()
            return frame.error
        finally:
            giving.cancel()
            await asyncio.gather(giving, return_exceptions=True)

    async def _flush(self) -> None:
        data = self._spdy.take()
        if data:
            await self._pipe.write(data)


async def _give_all(queue: asyncio.Queue[Data | End], session: Session) -> None:
    while True:
        await session.send(await queue.get())


class _PortChannels:
    """The older protocol: for the n-th port, channel 2n carries bytes and 2n + 1 an error. The first message
    of each, from the server, is the port's number."""

    def __init__(self, pipe: Pipe, opened: list[tuple[int, Session]]) -> None:
        self._pipe = pipe
        self._opened = opened

    async def run(self) -> None:
        """Until the client hangs up, or all connections have ended."""
        for number, (port, _) in enumerate(self._opened):
            for channel in (2 * number, 2 * number + 1):
                await self._pipe.write(bytes([channel]) + port.to_bytes(2, "little"))
        hearing = asyncio.ensure_future(self._hear())
        telling = asyncio.gather(*(self._tell(n, session) for n, (_, session) in enumerate(self._opened)))
        try:
            either: set[asyncio.Future[object]] = {hearing, telling}  # type: ignore[arg-type]  # of whatever
            done, _ = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            hearing.cancel()
            telling.cancel()
            await asyncio.gather(hearing, telling, return_exceptions=True)

    async def _hear(self) -> None:
        while (messages := await self._pipe.read()) is not None:
            for message in messages:
                if message[:1] == bytes([CLOSE]):
                    await self._close(message[1:])
                    continue
                number, is_error = divmod(message[0], 2) if message else (0, 1)
                if is_error or number >= len(self._opened):
                    continue
                for piece in pieces(message[1:]):
                    with suppress(StreamLost):  # `_tell` says so
                        await self._opened[number][1].send(piece)

    async def _close(self, channels: bytes) -> None:
        """The client sends no more on a channel: as in v5 of the channel protocol, which is ours here."""
        number, is_error = divmod(channels[0], 2) if channels else (0, 1)
        if not is_error and number < len(self._opened):
            with suppress(StreamLost):
                await self._opened[number][1].send(End(channel=STDIN))

    async def _tell(self, number: int, session: Session) -> None:
        problem = ""
        try:
            while not isinstance(frame := await session.receive(), Exit):
                if isinstance(frame, Data):
                    await self._pipe.write(bytes([2 * number]) + frame.data)
            problem = frame.error
        except StreamLost as error:
            problem = str(error)
        if problem:
            await self._pipe.write(bytes([2 * number + 1]) + problem.encode())
