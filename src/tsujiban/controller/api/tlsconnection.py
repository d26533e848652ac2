"""A TLS connection of the server as an asyncio transport that keeps next to nothing while it is idle.

asyncio's own keeps, for each, two memory buffers that have grown with the largest answer, a read buffer, and
a second transport below: 11 KiB and more, of which a server with a thousand idle watches has a thousand. Here
OpenSSL reads and writes the socket itself, what is read lands in one buffer of the whole process, and bytes
are kept only while a client is slow to take them. OpenSSL itself needs 25 KiB with a client certificate, 14
without.

What clients can do to it is bounded elsewhere: handshakes by `doors`, requests by `peer`. Renegotiation must
be off in the context.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

READ_BYTES = 64 * 1024
READS = 16  # records of one connection that are read before others have their turn
HIGH_BYTES = 64 * 1024  # of what a client has yet to take, from which on writers are asked to wait
LOW_BYTES = 16 * 1024
CLOSE_SECONDS = 30.0  # for a client to take what is kept when the connection is closed
LINGER_SECONDS = 10.0  # and then, for its own end

_buffer = memoryview(bytearray(READ_BYTES))  # of all connections: what is in it is handed on at once


class TlsConnection(asyncio.Transport):
    """One accepted connection, from its handshake on.

    `made` gives the protocol, when the handshake is done, for which there are so many `seconds`; `settled` is
    called once, when it is done or has failed, `lost` when the connection is no more. A failed one is closed
    without a word. Raises OSError when the peer has left already.
    """

    __slots__ = (
        "_closing",
        "_fd",
        "_gone",
        "_loop",
        "_lost",
        "_made",
        "_paused",
        "_pending",
        "_protocol",
        "_reading",
        "_settled",
        "_throttled",
        "_timer",
        "_tls",
        "_writing",
    )

    def __init__(
        self,
        connection: socket.socket,
        context: ssl.SSLContext,
        made: Callable[[], asyncio.Protocol],
        *,
        settled: Callable[[TlsConnection], None],
        lost: Callable[[TlsConnection], None],
        seconds: float,
    ) -> None:
        # not super().__init__: it makes a dictionary, which here would hold nothing
        self._loop = asyncio.get_running_loop()
        self._tls = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._fd = self._tls.fileno()
        self._protocol: asyncio.Protocol | None = None
        self._made: Callable[[], asyncio.Protocol] | None = made
        self._settled: Callable[[TlsConnection], None] | None = settled
        self._gone = lost
        self._pending: bytearray | None = None  # what the client has yet to take
        self._closing = self._lost = self._paused = self._throttled = self._writing = False
        self._reading = True
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(seconds, self._lose, None)
        self._loop.add_reader(self._fd, self._readable)

    # ------------------------------------------------------------ what protocols call

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As asyncio's: `socket`, `ssl_object`, `sslcontext`, `peername`, `sockname`."""
        if name == "socket":
            return self._tls
        if name == "ssl_object":
            return default if self._closing else self._tls  # which may be without TLS by then
        if name == "sslcontext":
            return self._tls.context
        if name in ("peername", "sockname"):
            with suppress(OSError):
                return self._tls.getpeername() if name == "peername" else self._tls.getsockname()
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is told from now on. Raises TypeError for a protocol that brings its own buffers."""
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError(f"{type(protocol).__name__} does not take bytes")
        self._protocol = protocol

    def get_protocol(self) -> asyncio.Protocol:
        """Who is told. Raises RuntimeError before the handshake is done, and when the connection is lost."""
        if self._protocol is None:
            raise RuntimeError("the connection has no protocol yet, or no more")
        return self._protocol

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether what comes is handed on."""
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        """Hand nothing on until `resume_reading`."""
        if not self._paused and not self._closing:
            self._paused = True
            self._stop_reading()

    def resume_reading(self) -> None:
        """Go on."""
        if self._paused and not self._closing:
            self._paused = False
            self._start_reading()
            self._loop.call_soon(self._readable)  # OpenSSL may hold what the socket no longer has

    def get_write_buffer_size(self) -> int:
        """Bytes that the client has yet to take."""
        return len(self._pending) if self._pending is not None else 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or keep until there is room."""
        if self._closing or not data:
            return
        if self._pending is not None:
            self._pending += data
        else:
            left = self._send(memoryview(data))
            if self._lost or not left:
                return
            self._pending = bytearray(left)
            self._start_writing()
        if len(self._pending) > HIGH_BYTES and not self._throttled:
            self._throttled = True
            self.get_protocol().pause_writing()

    def can_write_eof(self) -> bool:
        """TLS has no half of a connection."""
        return False

    def close(self) -> None:
        """Send what is kept, say the end, and give the client a moment to take it."""
        if self._closing:
            return
        self._closing = True
        if self._pending is None:
            self._say_end()
        else:
            self._end_within(CLOSE_SECONDS)

    def abort(self) -> None:
        """Be gone now."""
        self._lose(None)

    # ------------------------------------------------------------ what the loop calls

    def _readable(self) -> None:
        if self._lost:
            return
        if self._closing:
            self._discard()
        elif self._made is not None:
            self._shake_hands(self._made)
        else:
            try:
                self._read(self.get_protocol())
            except BaseException:  # of the protocol; the loop tells it
                self._lose(None)
                raise

    def _shake_hands(self, made: Callable[[], asyncio.Protocol]) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLWantWriteError:
            self._start_writing()
            return
        except OSError as error:
            self._lose(error)
            return
        self._stop_timer()
        self._made = None
        self._settle()
        self._protocol = made()
        self._protocol.connection_made(self)
        self._loop.call_soon(self._readable)

    def _read(self, protocol: asyncio.Protocol) -> None:
        for _ in range(READS):
            if self._paused or self._closing:
                return
            try:
                count = self._tls.recv_into(_buffer)
            except ssl.SSLWantReadError:
                return
            except ssl.SSLWantWriteError:  # an answer to a new key; it is read on when there is room
                self._start_writing()
                return
            except OSError as error:
                self._lose(error)
                return
            if not count:
                protocol.eof_received()
                self.close()
                return
            protocol.data_received(bytes(_buffer[:count]))
            if not self._tls.pending():  # what the socket has yet, the loop tells of
                return
            protocol = self.get_protocol()  # which this may have changed
        self._loop.call_soon(self._readable)

    def _writable(self) -> None:
        if self._lost:
            return
        if self._pending is None:  # it was for OpenSSL's own sake
            self._stop_writing()
            self._readable()
            return
        with memoryview(self._pending) as view:
            left = len(self._send(view))
        if self._lost:
            return
        if left:
            del self._pending[: len(self._pending) - left]
        else:
            self._pending = None
            self._stop_writing()
        if self._throttled and left <= LOW_BYTES:
            self._throttled = False
            self.get_protocol().resume_writing()
        if self._closing and self._pending is None:
            self._say_end()

    # ------------------------------------------------------------ how it is done

    def _send(self, data: memoryview) -> memoryview:
        """Send what can be sent; what is left."""
        try:
            while data:
                data = data[self._tls.write(data) :]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            self._lose(error)
        return data

    def _say_end(self) -> None:
        with suppress(OSError, ValueError):  # ValueError: the handshake was not done
            self._tls.unwrap()
        with suppress(OSError):
            self._tls.shutdown(socket.SHUT_WR)
        self._end_within(LINGER_SECONDS)
        self._start_reading()
        self._loop.call_soon(self._readable)

    def _discard(self) -> None:
        """Bytes that nobody reads would make the kernel reset the connection, and take from the client what
        is still on its way."""
        if self._pending is not None:  # it is not said yet
            return
        try:
            while socket.socket.recv_into(self._tls, _buffer):
                pass
        except BlockingIOError:
            return
        except OSError:
            pass
        self._lose(None)

    def _lose(self, error: OSError | None) -> None:
        """The end, which the protocol is told of later."""
        if self._lost:
            return
        self._lost = self._closing = True
        self._stop_timer()
        self._stop_reading()
        self._stop_writing()
        self._pending = None
        self._made = None
        self._settle()
        self._loop.call_soon(self._told_lost, error)

    def _told_lost(self, error: OSError | None) -> None:
        protocol, self._protocol = self._protocol, None
        try:
            if protocol is not None:
                protocol.connection_lost(error)
        finally:
            self._tls.close()
            self._gone(self)

    def _settle(self) -> None:
        settled, self._settled = self._settled, None
        if settled is not None:
            settled(self)

    def _end_within(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, self._lose, None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_reading(self) -> None:
        if not self._reading and not self._lost:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def _start_writing(self) -> None:
        if not self._writing and not self._lost:
            self._writing = True
            self._loop.add_writer(self._fd, self._writable)

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)
