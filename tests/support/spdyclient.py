"""The client's side of SPDY/3.1, as small as a test needs it."""

from __future__ import annotations

import struct
import zlib

from tsujiban.wire.spdy import (
    DICTIONARY,
    FIN,
    MAX_CHUNK,
    PING,
    RST_STREAM,
    SYN_REPLY,
    SYN_STREAM,
    build_headers,
)


class SpdyClient:
    """Makes frames; sorts what comes back by stream."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._next = 1
        self._input = b""
        self.received: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self.replied: set[int] = set()
        self.pongs: list[int] = []

    def open(self, *, end: bool = False, **headers: str) -> tuple[int, bytes]:
        stream, self._next = self._next, self._next + 2
        block = self._deflate.compress(build_headers(headers)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return stream, control(SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + block, FIN if end else 0)

    def feed(self, data: bytes) -> None:
        self._input += data
        while len(self._input) >= 8:
            first, second = struct.unpack_from(">II", self._input)
            size, flags = second & 0xFFFFFF, second >> 24
            if len(self._input) < 8 + size:
                return
            body, self._input = self._input[8 : 8 + size], self._input[8 + size :]
            if first >> 31:
                self._control(first & 0xFFFF, body)
                continue
            assert size <= MAX_CHUNK
            self.received[first] = self.received.get(first, b"") + body
            if flags & FIN:
                self.ended.add(first)

    def _control(self, kind: int, body: bytes) -> None:
        number = int.from_bytes(body[:4], "big")
        if kind == SYN_REPLY:
            assert self._inflate.decompress(body[4:]) == b"\0\0\0\0"
            self.replied.add(number)
        elif kind == RST_STREAM:
            self.reset.add(number)
        elif kind == PING:
            self.pongs.append(number)


def control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body


def data(stream: int, content: bytes, *, end: bool = False) -> bytes:
    return struct.pack(">II", stream, (FIN if end else 0) << 24 | len(content)) + content
