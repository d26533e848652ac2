"""WebSocket (RFC 6455) on a connection that has been upgraded: messages in, messages out, without I/O.

The framing is wsproto's; what is added are bounds, and whole messages instead of their pieces. Both the API
server and the command line use it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

MAX_MESSAGE = 1 << 20  # bytes of one message; clients send 32 KiB
NORMAL, PROTOCOL_ERROR, TOO_BIG = 1000, 1002, 1009  # close codes (section 7.4.1)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketError(ValueError):
    """The peer broke the protocol, or sent too long a message."""


def accept_token(key: str) -> str:
    """`Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (section 4.2.2).

    Raises:
        WebSocketError: the key is none.
    """
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            raise ValueError(key)
    except ValueError:
        raise WebSocketError("Sec-WebSocket-Key is not 16 bytes in base64") from None
    return base64.b64encode(
        hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    ).decode()


class WebSocket:
    """One end of a connection. Feed it bytes, send what `take` gives."""

    def __init__(self, *, client: bool = False) -> None:
        self._connection = Connection(ConnectionType.CLIENT if client else ConnectionType.SERVER)
        self._output: list[bytes] = []
        self._message = bytearray()
        self.closed = False  # the peer has ended it

    def take(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Whole messages, text as its bytes. Raises WebSocketError.

        After the peer's close, which is answered here, nothing follows.
        """
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                if isinstance(event, Ping):
                    self._send(event.response())
                elif isinstance(event, CloseConnection):
                    self.closed = True
                    if self._connection.state is ConnectionState.OPEN:  # what came was no frame
                        raise RemoteProtocolError(event.reason or "not a frame")
                    if self._connection.state is ConnectionState.REMOTE_CLOSING:
                        self._send(event.response())
                    return
                elif isinstance(event, TextMessage | BytesMessage):
                    part = event.data
                    self._message += part.encode() if isinstance(part, str) else part
                    if len(self._message) > MAX_MESSAGE:
                        self.close(TOO_BIG)
                        raise WebSocketError(f"a message is longer than {MAX_MESSAGE} bytes")
                    if event.message_finished:
                        whole = bytes(self._message)
                        self._message.clear()
                        yield whole
        except RemoteProtocolError as error:
            self.close(PROTOCOL_ERROR)
            raise WebSocketError(str(error)) from None

    def send(self, message: bytes) -> None:
        """One binary message; nothing once the connection is closing."""
        self._send(BytesMessage(data=message))

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """End it."""
        self._send(CloseConnection(code=code, reason=reason[:100]))

    def _send(self, event: BytesMessage | CloseConnection | object) -> None:
        try:
            self._output.append(self._connection.send(event))  # type: ignore[arg-type]  # wsproto's own events
        except LocalProtocolError:  # it is closing: there is nobody to tell
            return
