"""Where connections come in: accepted, and let through when their TLS handshake is done.

Who opens connections and says nothing costs us memory and a descriptor each for as long as we wait, so the
wait is short, and nobody has more than a share of the places (`places`): a crowd from one address keeps
nobody else out. asyncio's own server has neither bound (its wait is a minute).
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

import structlog

from tsujiban.controller.api.places import Places, address_of
from tsujiban.controller.api.tlsconnection import TlsConnection

log = structlog.get_logger(__name__)

HANDSHAKE_SECONDS = 10.0
BACKLOG = 2048
PAUSE_SECONDS = 1.0  # when descriptors or memory are short

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Protocols = Callable[[], asyncio.Protocol]


class Doors:
    """Listening sockets that are open from `open` to `close`, which closes the sockets too."""

    def __init__(self, context: ssl.SSLContext, places: Places, protocols: Protocols) -> None:
        self._context = context
        self._places = places
        self._protocols = protocols
        self._listeners: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: set[TlsConnection] = set()

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
            peer = address_of(address)
            if self._places.has_room(peer):
                self._shake_hands(connection, peer)
            else:
                connection.close()

    def _shake_hands(self, connection: socket.socket, peer: str) -> None:
        try:
            made = TlsConnection(
                connection,
                self._context,
                self._protocols,
                settled=self._under_way.discard,
                lost=self._places.leave,
                seconds=HANDSHAKE_SECONDS,
            )
        except OSError:  # who fails is cut off, and not worth a line
            connection.close()
        else:
            self._under_way.add(made)
            self._places.enter(made, peer)
