"""uvicorn's HTTP protocol, with what it lacks: the TLS client certificate in the ASGI scope, bounds on slow
clients, and connections that become something else.

An upgrade (`exec`, `port-forward`) is a request like any other, authenticated, authorized and refused as any
other; the response that accepts it takes the bare connection over (`api.upgrade`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.handover import READ_AHEAD, Ended, LineStream
from tsujiban.controller.api.places import Places
from tsujiban.controller.api.scope import CLAIM, HAND_OVER, PEER_CERTIFICATE, UPGRADE
from tsujiban.controller.api.upgrade import ServerEnds

MAX_HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 10.0  # from the first byte of a request, or from the connection, to the end of its headers

_REFUSAL = msgspec.json.encode(ApiError(431, "BadRequest", "the request headers are too long").status())
_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-type: application/json\r\n"
    + f"content-length: {len(_REFUSAL)}\r\n\r\n".encode()
    + _REFUSAL
)


class PeerProtocol(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _in_headers = True
    _certificate: bytes | None = None
    _upgrading = False  # the request asks for an upgrade: no HTTP follows on this connection
    _early = b""  # what came behind such a request
    _raw: asyncio.StreamReader | None = None  # and it has been taken over

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], places: Places
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._places = places

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Remember the certificate that the TLS handshake has verified."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self._certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the headers are complete."""
        if self._upgrading:
            self._early += data
            if len(self._early) > READ_AHEAD:
                self.transport.abort()
            return
        if self._in_headers:
            self._header_bytes += len(data)
            if self._timer is None:
                self._expect_headers()
        self._parse(data)
        if self._in_headers and self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.transport.write(_ANSWER)
            self.transport.close()

    def _parse(self, data: bytes) -> None:
        """As uvicorn, but an upgrade is no reason to complain."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._early = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        """Add the certificate to the new request's scope, and the way out of HTTP."""
        super().on_message_begin()
        self.scope["extensions"] = {
            HAND_OVER: {"hand_over": self.hand_over},
            CLAIM: {"claim": partial(self._places.claim, self.transport)},
        }
        if self._certificate is not None:
            self.scope["extensions"][PEER_CERTIFICATE] = {"der": self._certificate}

    def on_headers_complete(self) -> None:
        """The headers came in time."""
        self._stop_timer()
        self._in_headers = False
        if self.parser.should_upgrade():
            self._upgrading = True
            self.scope["extensions"][UPGRADE] = {"take_over": self.take_over}
        super().on_headers_complete()
        if self._upgrading:
            self.cycle.keep_alive = False  # when it is refused, the answer is the last

    def take_over(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The bare connection; the application answers nothing more by ASGI. Raises ConnectionError."""
        if self._raw is not None or self.transport.is_closing():
            raise ConnectionError("the client has gone")
        self.cycle.disconnected = True  # for uvicorn: nobody waits for an answer
        self._raw = reader = asyncio.StreamReader(limit=READ_AHEAD)
        protocol = _RawProtocol(reader, self)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        self.flow.resume_reading()
        if self._early:
            reader.feed_data(self._early)
        return reader, asyncio.StreamWriter(self.transport, protocol, reader, self.loop)

    def hand_over(self, source: AsyncGenerator[bytes, None], ended: tuple[Ended, ...]) -> bool:
        """Let the rest of an answer, whose head has been sent, go on without this protocol and its request;
        False when the client has left."""
        cycle = self.cycle
        if cycle.disconnected or self.transport.is_closing():
            return False
        cycle.disconnected = True  # for uvicorn: nobody waits for an answer
        again = None
        if cycle.keep_alive and not cycle.more_body and not self.pipeline:
            again = partial(PeerProtocol, self.config, self.server_state, self.app_state, self._places)
        self.connections.discard(self)
        stream = LineStream(self.transport, again, self.connections)
        if self.flow.write_paused:
            stream.pause_writing()
        self.flow.resume_reading()
        for name in ("cycle", "scope", "headers", "parser"):
            setattr(self, name, None)  # each knows this; they would stay until the garbage is collected
        stream.begin(source, ended)
        return True

    def take_back(self, transport: asyncio.Transport, early: bytes) -> None:
        """Go on with a connection that had been handed over."""
        transport.set_protocol(self)
        self.connection_made(transport)
        self._stop_timer()
        self.on_response_complete()  # from here on it may be silent for as long as between any two requests
        if early:
            self.data_received(early)

    def shutdown(self) -> None:
        """The server ends: so do connections that would go on for ever."""
        if self._raw is not None:
            self._raw.set_exception(ServerEnds("the server ends"))
            self.transport.close()
        else:
            super().shutdown()

    def on_message_complete(self) -> None:
        """What comes next is the headers of another request."""
        self._in_headers = True
        self._header_bytes = 0
        super().on_message_complete()

    def _expect_headers(self) -> None:
        self._timer = self.loop.call_later(HEADER_SECONDS, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.abort()


class _RawProtocol(asyncio.StreamReaderProtocol):
    """Of a connection that has been taken over; its end is the end of the HTTP connection too."""

    def __init__(self, reader: asyncio.StreamReader, owner: PeerProtocol) -> None:
        super().__init__(reader)
        self._owner = owner

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell both."""
        super().connection_lost(exc)
        self._owner.connection_lost(exc)
