"""Asks a gRPC server how it is (`grpc.health.v1.Health/Check`), over a connection that is there. Blocks.

By hand on HTTP/2, for one request and one answer of a few bytes: what is connected inside a pod's namespace
is asked in the thread that connected it, and the container, whose word the answer is, makes nobody hold more
than `MAX_ANSWER` bytes of it.
Source: gRPC, "GRPC Health Checking Protocol", "gRPC over HTTP2".
"""

from __future__ import annotations

import socket
import struct

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

PATH = "/grpc.health.v1.Health/Check"
MAX_ANSWER = 64 * 1024  # bytes, of all that the server sends
_READ = 16 * 1024
_STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_SERVING = 1
_OK = "0"


class HealthError(Exception):
    """What the server says is no answer."""


def check(connection: socket.socket, authority: str, service: str) -> str:
    """ "" when the service ("": the whole server) serves, else how it is. Raises HealthError, OSError."""
    try:
        return _Question(connection, authority, service).answer()
    except H2Error as error:
        raise HealthError(f"not HTTP/2: {error}") from None


class _Question:
    """One request, and what has come of its answer."""

    def __init__(self, connection: socket.socket, authority: str, service: str) -> None:
        self._connection = connection
        self._http = H2Connection(H2Configuration(client_side=True))
        self._headers: dict[str, str] = {}  # and trailers
        self._body = b""
        self._ended = False
        head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", PATH),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "tsujiban-probe"),
        ]
        self._http.initiate_connection()
        stream = self._http.get_next_available_stream_id()
        self._http.send_headers(stream, head)
        self._http.send_data(stream, _message(service), end_stream=True)

    def answer(self) -> str:
        """Ask, and wait for the end of the answer."""
        left = MAX_ANSWER
        while not self._ended:
            self._connection.sendall(self._http.data_to_send())
            data = self._connection.recv(_READ)
            left -= len(data)
            if not data or left < 0:
                raise HealthError("it hung up" if not data else "it says too much")
            for event in self._http.receive_data(data):
                self._take(event)
        status = self._headers.get("grpc-status", "")
        if self._headers.get(":status") != "200" or status != _OK:
            said = self._headers.get("grpc-message", "")[:200]
            return f"gRPC status {status or 'unknown'}{': ' if said else ''}{said}"
        state = _state(self._body)
        return "" if state == _SERVING else f"it is {_STATES[state] if state < len(_STATES) else state}"

    def _take(self, event: object) -> None:
        if isinstance(event, ResponseReceived | TrailersReceived):
            self._headers |= {_text(name): _text(value) for name, value in event.headers or ()}
        elif isinstance(event, DataReceived):
            self._body += event.data or b""
        elif isinstance(event, StreamEnded):
            self._ended = True
        elif isinstance(event, StreamReset | ConnectionTerminated):
            raise HealthError(f"it ended the call: HTTP/2 error {event.error_code}")


def _text(written: bytes | str) -> str:
    return written if isinstance(written, str) else written.decode(errors="replace")


def _message(service: str) -> bytes:
    """HealthCheckRequest, with gRPC's prefix; `service` is field 1."""
    name = service.encode()
    text = b"\x0a" + _varint(len(name)) + name if name else b""
    return struct.pack(">BI", 0, len(text)) + text


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(parts) + bytes((number,))


def _state(body: bytes) -> int:
    """Field 1 of HealthCheckResponse; what is not there is 0. Raises HealthError."""
    if len(body) < 5 or body[0] or struct.unpack(">I", body[1:5])[0] != len(body) - 5:
        raise HealthError("the answer is no message")
    message = body[5:]
    if not message:
        return 0
    if len(message) != 2 or message[0] != 0x08 or message[1] >= 0x80:
        raise HealthError("the answer is no HealthCheckResponse")
    return message[1]
