"""How the API application is served: TLS, doors, HTTP, and the end.

uvicorn's server with three things of our own: where connections come in (`doors`), what speaks HTTP on them
(`peer`), and that signals stay with the process that it is a part of.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette

from tsujiban.controller.api.doors import Doors
from tsujiban.controller.api.peer import PeerProtocol
from tsujiban.controller.api.places import Places
from tsujiban.controller.revocations import Revocations

KEEP_ALIVE_SECONDS = 75
SHUTDOWN_SECONDS = 2


async def serve(
    app: Starlette,
    context: ssl.SSLContext,
    sockets: Sequence[socket.socket],
    revocations: Revocations | None = None,
) -> None:
    """Serve what `create_app` has made until cancelled; then finish what is being answered. The listening
    sockets are closed. Connections of certificates that come on the list of `revocations` are cut off.

    `context` should ask for client certificates (CERT_OPTIONAL): who has none needs a token.
    """
    config = uvicorn.Config(
        app,
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    for listener in sockets:
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            # accepted connections inherit it; asyncio sets it only on sockets whose `proto` says TCP
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _Server(config, context, list(sockets), app.state.places)
    if revocations is not None:
        revocations.on_change.append(lambda: server.cut_off(revocations.of_der))
    serving = asyncio.create_task(server.serve([]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


def server_context(certificate: str, key: str, client_roots_pem: str) -> ssl.SSLContext:
    """TLS for `serve`: files of the server's chain and key, and the roots that clients are verified by."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=client_roots_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.options |= ssl.OP_NO_RENEGOTIATION  # which `tlsconnection` relies on
    context.num_tickets = 0  # every connection shows a certificate that is good now
    return context


class _Server(uvicorn.Server):
    """uvicorn, but signals stay with the process that it is a part of, and connections come by our doors."""

    def __init__(
        self,
        config: uvicorn.Config,
        context: ssl.SSLContext,
        listeners: list[socket.socket],
        places: Places,
    ) -> None:
        super().__init__(config)
        self._places = places
        self._doors = Doors(context, places, self._protocol)
        self._listeners = listeners

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self._doors.open(self._listeners)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody in, and end."""
        await self._doors.close()
        await super().shutdown(sockets)

    def cut_off(self, refused: Callable[[bytes], str]) -> None:
        """Cut the connections off whose certificate is refused, whatever is under way on them."""
        connections: set[Any] = self.server_state.connections  # also of what is no HTTP any more
        for one in list(connections):
            tls = one.transport.get_extra_info("ssl_object")
            shown = tls.getpeercert(binary_form=True) if tls is not None else None
            if shown and refused(shown):
                one.transport.abort()

    def _protocol(self) -> PeerProtocol:
        return PeerProtocol(self.config, self.server_state, self.lifespan.state, self._places)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
