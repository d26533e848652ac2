"""The node stream on the wire: one bidirectional gRPC call over mutual TLS, MessagePack inside. And the
sessions beside it (`wire.sessions`), each a call on a connection of its own.

grpclib does HTTP/2; it reads a message of whatever length the sender announces, so the length
is checked here, before memory is spent. This is the one module that reaches under grpclib's
public interface (to do that, and to see the peer's certificate).
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Generic, TypeVar

import msgspec
from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.server import Server
from h2.exceptions import H2Error

from tsujiban.wire import controllers, sessions
from tsujiban.wire.messages import FromStandby, ToController, ToNode, ToStandby

METHOD = "/tsujiban.node.v1.NodeStream/Connect"
STANDBY = "/tsujiban.node.v1.NodeStream/Standby"
SESSION = "/tsujiban.node.v1.NodeStream/Session"
SESSION_WINDOW = 128 * 1024  # bytes that wait on a node for a slow client, at most
MAX_TO_NODE = 256 * 1024 * 1024  # bytes; a node trusts its controller with a full state
MAX_FROM_STANDBY = 4 * 1024 * 1024  # bytes; such a controller asks for sessions and nothing else
MAX_TO_CONTROLLER = 4 * 1024 * 1024  # bytes; a controller does not trust a node
CONNECT_TIMEOUT = 10.0  # seconds, TCP and TLS handshake
PING_INTERVAL = 5.0
PING_TIMEOUT = 10.0
WATCH_INTERVAL = 1.0

_Send = TypeVar("_Send")
_Receive = TypeVar("_Receive")


class StreamLost(Exception):
    """The stream ended without a reason from the peer: network, crash, or a peer that broke the protocol."""


class StreamRefused(Exception):
    """The peer ended the stream and said why (to a node), or is told why (by a controller)."""


class BadMessage(Exception):
    """The peer sent something that is not a message, or too large a one."""


class _Codec(CodecBase):  # type: ignore[misc]  # grpclib is untyped here
    """Names the content type; `_Framed` encodes and decodes, for it knows limits and types."""

    __content_subtype__ = "msgpack"

    def encode(self, message: bytes, message_type: object) -> bytes:
        return message

    def decode(self, data: bytes, message_type: object) -> bytes:
        return data


class _Framed(Generic[_Send, _Receive]):
    """Typed, bounded sending and receiving on a grpclib stream (of either side)."""

    def __init__(
        self, stream: Any, decoder: msgspec.msgpack.Decoder[_Receive], receive_limit: int, send_limit: int
    ) -> None:
        self._stream = stream
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = decoder
        self._receive_limit = receive_limit
        self._send_limit = send_limit

    async def receive(self) -> _Receive | None:
        """The next message; None when the peer has ended the stream. Raises BadMessage."""
        header = await self._read(5)
        if not header:
            return None
        compressed, length = struct.unpack(">BI", header)
        if compressed:
            raise BadMessage("message is compressed")
        if length > self._receive_limit:
            raise BadMessage(f"message of {length} bytes is larger than {self._receive_limit}")
        try:
            return self._decoder.decode(await self._read(length))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadMessage(f"not a message of protocol version 1: {error}") from error

    async def send(self, message: _Send) -> None:
        """Send one message; returns when it is in the socket's buffer.

        Raises BadMessage, with nothing sent, when the peer would refuse it for its size.
        """
        data = self._encoder.encode(message)
        if len(data) > self._send_limit:
            raise BadMessage(
                f"{type(message).__name__} of {len(data)} bytes is larger than {self._send_limit}"
            )
        await self._stream.send_message(data)

    async def watch(self) -> None:
        """Run beside the others; raises StreamLost when the peer does not answer pings.

        grpclib then closes the connection politely, which takes TLS half a minute with a peer that
        does not answer; this ends it at once.
        """
        transport = _transport(self._stream)
        while not transport.is_closing():  # noqa: ASYNC110  # the transport signals no event
            await asyncio.sleep(WATCH_INTERVAL)
        transport.abort()
        raise StreamLost("the peer does not answer")

    async def _read(self, size: int) -> bytes:
        try:
            data: bytes = await self._stream._stream.recv_data(size)
        except AssertionError as error:  # grpclib's word for: the stream ended inside a message
            raise BadMessage("stream ended in the middle of a message") from error
        except AttributeError as error:  # and this one: the connection was closed before we had read all
            raise StreamLost("the connection was closed") from error
        return data


class _ServerEnd(_Framed[_Send, _Receive]):
    """What the controller knows of a peer."""

    @property
    def peer_certificate(self) -> bytes:
        """The client's certificate, DER, as TLS verified it; empty when there is none."""
        tls = _transport(self._stream).get_extra_info("ssl_object")
        return (tls.getpeercert(True) if tls is not None else None) or b""

    @property
    def peer_address(self) -> str:
        """Where the client connects from, for the log."""
        return str(self._stream.peer.addr())


class ServerStream(_ServerEnd[ToNode, ToController]):
    """The controller's end of a node stream."""


class ServerStandby(_ServerEnd[FromStandby, ToStandby]):
    """The end of a controller that stands by."""


class ServerSession(_ServerEnd[sessions.ToSession, sessions.FromSession]):
    """The controller's end of a session. What ends it is raised as StreamLost, or BadMessage."""

    async def send(self, message: sessions.ToSession) -> None:
        """As the base."""
        with _lost():
            await super().send(message)

    async def receive(self) -> sessions.FromSession | None:
        """As the base."""
        with _lost():
            return await super().receive()


class _ClientEnd(_Framed[_Send, _Receive]):
    """The node's end. Whatever ends the stream is raised as StreamRefused or StreamLost."""

    @property
    def controller(self) -> str:
        """The identity that the controller's certificate, as TLS verified it, proves; "" for none."""
        tls = _transport(self._stream).get_extra_info("ssl_object")
        names = (tls.getpeercert() if tls is not None else None) or {}
        return controllers.identity_among(
            value for kind, value in names.get("subjectAltName", ()) if kind == "DNS"
        )

    async def open(self) -> None:
        """Connect and begin the call."""
        with self._explained():
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._stream.send_request()
        _keep_alive(_transport(self._stream).get_extra_info("socket"))

    async def send(self, message: _Send) -> None:
        """As the base."""
        with self._explained():
            await super().send(message)

    async def next(self) -> _Receive:
        """The next message. Raises BadMessage too."""
        with self._explained():
            with self._stream._wrapper:  # wakes us when the connection is lost
                message = await self.receive()
            if message is None:
                self._stream._maybe_raise()  # the status that the controller ended with
                raise StreamLost("the controller ended the stream")
            return message

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except GRPCError as error:
            raise _refusal(error) from error
        except (StreamTerminatedError, ProtocolError, H2Error) as error:
            try:
                self._stream._maybe_raise()
            except GRPCError as status:
                raise _refusal(status) from error
            raise StreamLost(str(error)) from error
        except (OSError, TimeoutError) as error:
            raise StreamLost(str(error) or type(error).__name__) from error


class ClientStream(_ClientEnd[ToController, ToNode]):
    """The node's end of its stream."""


class ClientStandby(_ClientEnd[ToStandby, FromStandby]):
    """The node's end of its stream to a controller that stands by."""


class ClientSession(_ClientEnd[sessions.FromSession, sessions.ToSession]):
    """The node's end of a session."""

    async def over(self) -> None:
        """Returns when the controller has ended the session in order, also while nobody reads. Anything else
        that ends it is raised, as StreamRefused or StreamLost."""
        with self._explained():
            received = self._stream._stream
            with self._stream._wrapper:
                await received.headers_received.wait()
                if "grpc-status" not in dict(received.headers):  # where it is, nothing was said before it
                    await received.trailers_received.wait()
            self._stream._maybe_raise()

    async def end(self) -> None:
        """Say that nothing follows, and wait until the controller has taken everything and ends the call."""
        with self._explained():
            await self._stream.end()
            with self._stream._wrapper:
                while await self.receive() is not None:
                    pass


async def _no_sessions(_stream: ServerSession) -> None:
    raise StreamRefused("no session was asked for")


async def _no_standby(_stream: ServerStandby) -> None:
    raise StreamRefused("this controller does not stand by for another")


class NodeStreamServer:
    """Accepts node streams and hands each to `handle`; sessions to `serve_session`; streams of nodes that
    obey another controller to `stand_by`.

    All may raise StreamRefused (the client is told), BadMessage or StreamLost; when they
    return, the stream ends. The TLS context must demand client certificates.
    """

    def __init__(
        self,
        handle: Callable[[ServerStream], Awaitable[None]],
        serve_session: Callable[[ServerSession], Awaitable[None]] = _no_sessions,
        stand_by: Callable[[ServerStandby], Awaitable[None]] = _no_standby,
    ) -> None:
        self._handle = handle
        self._serve_session = serve_session
        self._stand_by = stand_by
        self._decoder = msgspec.msgpack.Decoder(ToController)
        self._standby_decoder = msgspec.msgpack.Decoder(ToStandby)
        self._session_decoder = msgspec.msgpack.Decoder(sessions.FromSession)
        self._server: Any = None

    async def start(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        """Serve on a bound socket (perhaps opened in another network namespace)."""
        if context.verify_mode is not ssl.CERT_REQUIRED:
            raise ValueError("the node stream demands client certificates")
        _keep_alive(listener)  # Linux: accepted sockets inherit it
        self._server = Server([self], codec=_Codec(), config=_configuration())
        await self._server.start(sock=listener, ssl=context)

    def close(self) -> None:
        """Stop listening and drop what still runs; end the streams before, if peers are to know why."""
        if self._server is not None:
            self._server.close()

    def __mapping__(self) -> dict[str, Handler]:
        return {
            METHOD: Handler(self._serve, Cardinality.STREAM_STREAM, None, None),
            STANDBY: Handler(self._standby, Cardinality.STREAM_STREAM, None, None),
            SESSION: Handler(self._session, Cardinality.STREAM_STREAM, None, None),
        }

    async def _serve(self, stream: Any) -> None:
        await self._answer(self._handle(ServerStream(stream, self._decoder, MAX_TO_CONTROLLER, MAX_TO_NODE)))

    async def _standby(self, stream: Any) -> None:
        ours = ServerStandby(stream, self._standby_decoder, MAX_TO_CONTROLLER, MAX_TO_NODE)
        await self._answer(self._stand_by(ours))

    async def _session(self, stream: Any) -> None:
        limit = sessions.MAX_FRAME
        await self._answer(self._serve_session(ServerSession(stream, self._session_decoder, limit, limit)))

    async def _answer(self, serving: Awaitable[None]) -> None:
        try:
            await serving
        except StreamRefused as refusal:
            raise GRPCError(Status.PERMISSION_DENIED, str(refusal)) from refusal
        except BadMessage as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
        except StreamLost:
            return  # there is nobody left to tell


@asynccontextmanager
async def connect(
    host: str, port: int, context: ssl.SSLContext, server_name: str
) -> AsyncIterator[ClientStream]:
    """Open the stream to a controller; `server_name` is what its certificate must say.

    Raises StreamLost or StreamRefused.
    """
    configuration = _configuration(ssl_target_name_override=server_name)
    async with _call(METHOD, host, port, context, configuration) as stream:
        client = ClientStream(stream, msgspec.msgpack.Decoder(ToNode), MAX_TO_NODE, MAX_TO_CONTROLLER)
        await client.open()
        yield client


@asynccontextmanager
async def connect_standby(
    host: str, port: int, context: ssl.SSLContext, server_name: str
) -> AsyncIterator[ClientStandby]:
    """Open the stream to a controller that stands by, as `connect`. What it sends is small."""
    configuration = _configuration(ssl_target_name_override=server_name)
    async with _call(STANDBY, host, port, context, configuration) as stream:
        decoder = msgspec.msgpack.Decoder(FromStandby)
        client = ClientStandby(stream, decoder, MAX_FROM_STANDBY, MAX_TO_CONTROLLER)
        await client.open()
        yield client


@asynccontextmanager
async def connect_session(
    host: str, port: int, context: ssl.SSLContext, server_name: str
) -> AsyncIterator[ClientSession]:
    """Open a session's call, on a connection of its own. Raises StreamLost or StreamRefused."""
    configuration = _configuration(
        ssl_target_name_override=server_name,
        http2_connection_window_size=SESSION_WINDOW,
        http2_stream_window_size=SESSION_WINDOW,
    )
    async with _call(SESSION, host, port, context, configuration) as stream:
        limit = sessions.MAX_FRAME
        client = ClientSession(stream, msgspec.msgpack.Decoder(sessions.ToSession), limit, limit)
        await client.open()
        yield client


@asynccontextmanager
async def _call(
    method: str, host: str, port: int, context: ssl.SSLContext, configuration: Any
) -> AsyncIterator[Any]:
    channel = Channel(host, port, codec=_Codec(), ssl=context, config=configuration)
    try:
        async with channel.request(method, Cardinality.STREAM_STREAM, None, None) as stream:
            yield stream
            channel.close()  # now, or grpclib waits for the controller to end the call
    finally:
        channel.close()


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except (StreamTerminatedError, ProtocolError, H2Error, OSError) as error:
        raise StreamLost(str(error) or type(error).__name__) from error


def _refusal(error: GRPCError) -> StreamRefused:
    return StreamRefused(error.message or error.status.name)


def _transport(stream: Any) -> Any:
    return stream.peer._transport


def _configuration(**options: Any) -> Any:
    return Configuration(
        _keepalive_time=PING_INTERVAL,
        _keepalive_timeout=PING_TIMEOUT,
        _http2_max_pings_without_data=0,
        _http2_min_sent_ping_interval_without_data=PING_INTERVAL / 2,
        **options,
    )


def _keep_alive(sock: Any) -> None:
    """Let the kernel end the connection of a peer that vanished, within about PING_TIMEOUT."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, math.ceil(PING_INTERVAL))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(PING_TIMEOUT * 1000))
