"""Where connections come in: accepted, and let through when their TLS handshake is done.

Who opens connections and says nothing costs us memory and a descriptor each for as long as we wait, so the
wait is short, and nobody has more than a share of those that are waited for: a crowd from one address keeps
nobody else out. asyncio's own server has neither bound (its wait is a minute).
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

import structlog

from tsujiban.controller.api.tlsconnection import TlsConnection

log = structlog.get_logger(__name__)

HANDSHAKE_SECONDS = 10.0
MAX_HANDSHAKES = 1536  # under way at once
MAX_PER_PEER = 512  # of them; a peer is an IPv4 address, or an IPv6 network of 64 bits
BACKLOG = 2048
PAUSE_SECONDS = 1.0  # when descriptors or memory are short

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Protocols = Callable[[], asyncio.Protocol]


class Doors:
    """Listening sockets that are open from `open` to `close`, which closes the sockets too."""

    def __init__(self, context: ssl.SSLContext, protocols: Protocols) -> None:
        self._context = context
        self._protocols = protocols
        self._listeners: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: set[TlsConnection] = set()
        self._count: Counter[str] = Counter()  # handshakes under way, by peer

    def open(self, listeners: list[socket.socket]) -> None:
        """Begin to accept."""
        self._listeners = listeners
        for listener in listeners:
            listener.setblocking(False)
            listener.listen(BACKLOG)
            self._start(self._accept(listener))

    async def close(self) -> None:
        """Accept no more; handshakes that are under way are cut off."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self._under_way):
            connection.abort()
        for listener in self._listeners:
            listener.close()

    def _start(self, work: asyncio._CoroutineLike[None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:
                short = error.errno in _SHORT  # else the client has left meanwhile
                if short:
                    log.error("no connection can be accepted", reason=str(error))
                await asyncio.sleep(PAUSE_SECONDS if short else 0)  # whatever it is, others have their turn
                continue
            peer = peer_of(address)
            if self._count[peer] >= MAX_PER_PEER or self._count.total() >= MAX_HANDSHAKES:
                connection.close()
                continue
            self._shake_hands(connection, peer)

    def _shake_hands(self, connection: socket.socket, peer: str) -> None:
        self._count[peer] += 1

        def settled(made: TlsConnection) -> None:
            self._under_way.discard(made)
            self._leave(peer)

        try:
            made = TlsConnection(connection, self._context, self._protocols, settled, HANDSHAKE_SECONDS)
        except OSError:  # who fails is cut off, and not worth a line
            connection.close()
            self._leave(peer)
        else:
            self._under_way.add(made)

    def _leave(self, peer: str) -> None:
        self._count[peer] -= 1
        if not self._count[peer]:
            del self._count[peer]


def peer_of(address: object) -> str:
    """Whom an accepted connection's address counts for."""
    host = address[0] if isinstance(address, tuple) else ""
    try:
        found = ip_address(str(host).partition("%")[0])
    except ValueError:
        return str(host)
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(found.packed[:8] + bytes(8)))
    return str(found)
