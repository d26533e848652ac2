"""uvicorn's HTTP protocol, with the TLS client certificate in the ASGI scope and bounds on slow clients.

uvicorn shows an application neither the certificate nor a limit on headers; both are a few lines here.
"""

from __future__ import annotations

import asyncio

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tsujiban.controller.api.errors import ApiError

PEER_CERTIFICATE = "tsujiban.peer_certificate"  # in scope["extensions"]: {"der": bytes}, absent without one

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
        if self._in_headers:
            self._header_bytes += len(data)
            if self._timer is None:
                self._expect_headers()
        super().data_received(data)
        if self._in_headers and self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.transport.write(_ANSWER)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Add the certificate to the new request's scope."""
        super().on_message_begin()
        if self._certificate is not None:
            self.scope["extensions"] = {PEER_CERTIFICATE: {"der": self._certificate}}

    def on_headers_complete(self) -> None:
        """The headers came in time."""
        self._stop_timer()
        self._in_headers = False
        super().on_headers_complete()

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
