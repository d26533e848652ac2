"""SPDY/3.1 frames, as far as `kubectl` speaks them, without I/O.

kubectl before 1.31 runs commands and forwards ports over SPDY; later ones still forward ports over it, inside
a WebSocket. Streams here are opened by the peer (the client) only, and are answered at once. There is
no per-stream flow control: the peer has none either, so a caller that stops reading the connection stops
everything in it.

Source: the SPDY Protocol draft 3.1 (https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

import msgspec

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 0x01
UNIDIRECTIONAL = 0x02
PROTOCOL_ERROR, REFUSED_STREAM = 1, 3  # status of RST_STREAM
MAX_FRAME = 1 << 20  # bytes of one frame; clients send 32 KiB
MAX_HEADERS = 64 * 1024  # bytes of a header block, unpacked
MAX_CHUNK = 1 << 15  # bytes of one data frame that is sent
MAX_STREAMS = 512  # open at once

# the draft's dictionary for header blocks: words with their length before them, then bare text
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges"
    " age allow authorization cache-control connection content-base content-encoding content-language"
    " content-length content-location content-md5 content-range content-type date etag expect expires from"
    " host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location"
    " max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te"
    " trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status"
    " 200_OK version HTTP/1.1 url public set-cookie keep-alive origin"
)
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(
    struct.pack(">I", len(word)) + word.replace("_", " ").encode("ascii") for word in _WORDS.split(" ")
) + _TEXT.encode("ascii")


class SpdyError(ValueError):
    """The peer broke the protocol; the connection is of no more use."""


class Opened(msgspec.Struct, frozen=True):
    """The peer opened a stream; names of headers are in lower case. It has been replied to."""

    stream: int
    headers: dict[str, str]
    ended: bool


class Data(msgspec.Struct, frozen=True):
    """Bytes of a stream; `ended`: the peer sends no more on it."""

    stream: int
    data: bytes
    ended: bool


class Reset(msgspec.Struct, frozen=True):
    """The peer gave a stream up."""

    stream: int


class GoneAway(msgspec.Struct, frozen=True):
    """The peer opens no more streams."""


Event = Opened | Data | Reset | GoneAway


class SpdyServer:
    """One connection, the server's side. Feed it bytes, send what `take` gives."""

    def __init__(self) -> None:
        self._input = bytearray()
        self._output: list[bytes] = []
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._last = 0  # id of the last stream that the peer opened
        self._readable: set[int] = set()  # streams on which the peer may still send
        self._writable: set[int] = set()  # streams on which we may

    def take(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def feed(self, data: bytes) -> Iterator[Event]:
        """What the bytes mean. Raises SpdyError, after which nothing more may be fed."""
        self._input += data
        while len(self._input) >= 8:
            first, second = struct.unpack_from(">II", self._input)
            size = second & 0xFFFFFF
            if size > MAX_FRAME:
                raise SpdyError(f"a frame of {size} bytes is longer than {MAX_FRAME}")
            if len(self._input) < 8 + size:
                return
            body = bytes(self._input[8 : 8 + size])
            del self._input[: 8 + size]
            flags = second >> 24
            event = self._control(first, flags, body) if first >> 31 else self._data(first, flags, body)
            if event is not None:
                yield event

    # ------------------------------------------------------------ to the peer

    def send(self, stream: int, data: bytes) -> None:
        """Bytes on a stream; nothing when it is closed already."""
        if stream not in self._writable:
            return
        for start in range(0, len(data), MAX_CHUNK):
            chunk = data[start : start + MAX_CHUNK]
            self._output.append(struct.pack(">II", stream, len(chunk)) + chunk)

    def finish(self, stream: int) -> None:
        """We send no more on a stream."""
        if stream in self._writable:
            self._writable.discard(stream)
            self._output.append(struct.pack(">II", stream, FIN << 24))

    def reset(self, stream: int, status: int = REFUSED_STREAM) -> None:
        """Give a stream up, both ways."""
        if stream in self._writable or stream in self._readable:
            self._close(stream)
            self._frame(RST_STREAM, struct.pack(">II", stream, status))

    def goaway(self) -> None:
        """Say that the connection ends."""
        self._frame(GOAWAY, struct.pack(">II", self._last, 0))

    def open_streams(self) -> frozenset[int]:
        """Streams that are open in either direction."""
        return frozenset(self._readable | self._writable)

    # ------------------------------------------------------------ from the peer

    def _control(self, first: int, flags: int, body: bytes) -> Event | None:
        version, kind = (first >> 16) & 0x7FFF, first & 0xFFFF
        if version != VERSION:
            raise SpdyError(f"SPDY version {version} is not 3")
        if kind == SYN_STREAM:
            return self._syn(flags, body)
        if kind == RST_STREAM:
            stream = self._number(body)
            known = stream in self._readable or stream in self._writable
            self._close(stream)
            return Reset(stream) if known else None
        if kind == PING:
            if self._number(body) % 2:  # the peer's; even ones would be answers to ours
                self._frame(PING, body[:4])
            return None
        if kind == GOAWAY:
            return GoneAway()
        if kind in (HEADERS, SYN_REPLY):
            self._unpack(body[4:])  # keeps the decompressor in step; they mean nothing here
        return None  # SETTINGS, WINDOW_UPDATE, and what we do not know

    def _syn(self, flags: int, body: bytes) -> Opened:
        if len(body) < 10:
            raise SpdyError("SYN_STREAM is too short")
        stream = self._number(body)
        if stream % 2 == 0 or stream <= self._last:
            raise SpdyError(f"stream {stream} may not be opened after {self._last}")
        headers = self._unpack(body[10:])
        if len(self.open_streams()) >= MAX_STREAMS:
            raise SpdyError(f"more than {MAX_STREAMS} streams are open")
        self._last = stream
        if not flags & FIN:
            self._readable.add(stream)
        if not flags & UNIDIRECTIONAL:
            self._writable.add(stream)
            self._frame(SYN_REPLY, struct.pack(">I", stream) + self._pack({}))
        return Opened(stream, headers, bool(flags & FIN))

    def _data(self, stream: int, flags: int, body: bytes) -> Data | None:
        if stream not in self._readable:
            return None  # of a stream that we have given up: it was on its way
        if flags & FIN:
            self._readable.discard(stream)
        return Data(stream, body, bool(flags & FIN))

    def _close(self, stream: int) -> None:
        self._readable.discard(stream)
        self._writable.discard(stream)

    def _number(self, body: bytes) -> int:
        if len(body) < 4:
            raise SpdyError("a control frame is too short")
        return int.from_bytes(body[:4], "big") & 0x7FFFFFFF

    def _frame(self, kind: int, body: bytes) -> None:
        self._output.append(struct.pack(">HHI", 0x8000 | VERSION, kind, len(body)) + body)

    def _unpack(self, block: bytes) -> dict[str, str]:
        try:
            text = self._inflate.decompress(block, MAX_HEADERS + 1)
        except zlib.error as error:
            raise SpdyError(f"header block: {error}") from None
        if len(text) > MAX_HEADERS or self._inflate.unconsumed_tail:
            raise SpdyError(f"headers of more than {MAX_HEADERS} bytes")
        return parse_headers(text)

    def _pack(self, headers: Mapping[str, str]) -> bytes:
        return self._deflate.compress(build_headers(headers)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def parse_headers(text: bytes) -> dict[str, str]:
    """Name/value block (section 2.6.10). Raises SpdyError."""
    position = 0

    def number() -> int:
        nonlocal position
        if position + 4 > len(text):
            raise SpdyError("a header block ends early")
        position += 4
        return int.from_bytes(text[position - 4 : position], "big")

    def word() -> str:
        nonlocal position
        size = number()
        if position + size > len(text):
            raise SpdyError("a header block ends early")
        position += size
        return text[position - size : position].decode("latin-1")

    found: dict[str, str] = {}
    for _ in range(number()):
        name = word().lower()
        found[name] = word()
    return found


def build_headers(headers: Mapping[str, str]) -> bytes:
    """The inverse of `parse_headers`."""
    parts = [struct.pack(">I", len(headers))]
    for name, value in headers.items():
        for text in (name.lower().encode("latin-1"), value.encode("latin-1")):
            parts += [struct.pack(">I", len(text)), text]
    return b"".join(parts)
