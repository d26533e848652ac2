"""A client of an HTTPS server that costs little itself: requests on kept connections, and watches.

It knows as much of HTTP/1.1 as our server says: a Content-Length, or chunks that each hold whole lines.
"""

from __future__ import annotations

import asyncio
import ssl


class Connection:
    """One connection; one request after the other, or one watch for good."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, context: ssl.SSLContext) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=1024 * 1024))

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The answer's body; it must be a success."""
        status, headers = await self._head(method, path, body)
        answer = await self._reader.readexactly(int(headers["content-length"]))
        if not 200 <= status < 300:
            raise RuntimeError(f"{method} {path}: {status} {answer.decode()[:500]}")
        return answer

    async def begin(self, path: str) -> None:
        """Begin a watch; returns when the server has."""
        status, _ = await self._head("GET", path, b"")
        if status != 200:
            raise RuntimeError(f"GET {path}: {status}")

    async def event(self) -> bytes:
        """The next chunk of a watch."""
        size = int(await self._reader.readline(), 16)
        return (await self._reader.readexactly(size + 2))[:-2]

    def close(self) -> None:
        self._writer.transport.abort()

    async def _head(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str]]:
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench\r\n"
        if body:
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self._writer.write(head.encode() + b"\r\n" + body)
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        return int(first.split()[1]), headers
