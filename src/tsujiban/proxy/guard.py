"""A gRPC server on a Unix socket that speaks with one process only: the pod's own sidecar.

The kernel says who is at the other end (SO_PEERCRED); whoever is not the expected user, or is
refused by the caller's hook, is cut off before a byte is read.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from grpclib.protocol import H2Protocol
from grpclib.server import Server

Authorize = Callable[[int, int], bool]
_TURNS = 4  # of the event loop, from a connection that is accepted to a protocol that knows it
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def peer_credentials(connection: Any) -> tuple[int, int]:
    """(pid, uid) of the process that connected. Works on a socket or asyncio's view of one."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return pid, uid


class _GuardedProtocol(H2Protocol):  # type: ignore[misc]  # grpclib has no types
    """HTTP/2, once the peer has been let in."""

    authorize: Authorize
    transports: set[Any]
    _refused = False

    def connection_made(self, transport: Any) -> None:
        pid, uid = peer_credentials(transport.get_extra_info("socket"))
        if self.authorize(pid, uid):
            self._transport = transport
            self.transports.add(transport)
            super().connection_made(transport)
        else:
            self._refused = True
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._refused:
            self.transports.discard(self._transport)
            super().connection_lost(exc)


class GuardedServer(Server):  # type: ignore[misc]  # grpclib has no types
    """A grpclib server whose connections pass `authorize(pid, uid)` first."""

    def __init__(self, handlers: list[Any], authorize: Authorize) -> None:
        super().__init__(handlers)
        self._authorize = authorize
        self._over = False
        self._transports: set[Any] = set()

    def close(self) -> None:
        """Accept nobody any more and cut every connection, so that the other side looks for a successor."""
        self._over = True
        loop = asyncio.get_running_loop()
        for listener in self._server.sockets:
            loop.remove_reader(listener)
        for transport in list(self._transports):
            transport.abort()

    async def wait_closed(self) -> None:
        """To be awaited after `close`. Who had been accepted just before is on the way to the protocol, which
        cuts it off; were asyncio's server closed by then, it would be left open with nobody at this end."""
        try:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        finally:
            super().close()
        await super().wait_closed()

    def _welcome(self, pid: int, uid: int) -> bool:
        return not self._over and self._authorize(pid, uid)

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        guarded = _GuardedProtocol(protocol.handler, self._config, self._h2_config)
        guarded.authorize = self._welcome
        guarded.transports = self._transports
        return guarded


def bind_private(path: str, uid: int) -> socket.socket:
    """A listening Unix socket that only `uid` (and root) may open. The directory may belong to
    that user, so no link that it left there is followed. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        listener.bind(path)
        os.chown(path, uid, -1, follow_symlinks=False)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


async def unlink_stale(path: str) -> None:
    """Remove a socket file that nobody listens on any more.

    Raises OSError (EADDRINUSE) when somebody does.
    """
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)
        return
    writer.close()
    raise OSError(errno.EADDRINUSE, f"another process listens on {path}; is an agent running already?")
