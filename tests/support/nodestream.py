"""A controller's node server on loopback with real TLS, and clients that behave or do not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from cryptography import x509
from tests.support.pki import TRUST_DOMAIN, Pki, listener
from tests.support.wait import until

from tsujiban.controller.nodes import NodeServer
from tsujiban.identity.tls import client_context
from tsujiban.identity.verify import leaf_identity
from tsujiban.policy.program import NodeDelta
from tsujiban.wire.controllers import name_of
from tsujiban.wire.messages import (
    PROTOCOL_VERSION,
    Flows,
    Hello,
    NodeStatus,
    Policy,
    Sign,
    Signed,
    ToController,
    TokenIssued,
    WantToken,
)
from tsujiban.wire.transport import (
    ClientStandby,
    ClientStream,
    ServerSession,
    StreamRefused,
    connect,
    connect_standby,
)

FULL = Policy(delta=NodeDelta(revision=1, full=True))


def hello(node: str, protocol: int = PROTOCOL_VERSION) -> Hello:
    """A first message."""
    return Hello(node=node, protocol=protocol, addresses=("172.31.255.11",), version="test")


class Controller:
    """Records what nodes do; answers Hello with a full state."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.events: list[tuple[str, str]] = []  # (hello or gone, node)
        self.messages: list[tuple[str, ToController]] = []
        self.told: list[tuple[str, NodeStatus | Flows]] = []
        self.leads = True
        self.revoked: dict[str, str] = {}  # why, by node
        self.seen: list[str] = []  # nodes whose certificates were looked at
        self.serving: asyncio.Event | None = None  # a session lasts until it is set
        self.hold: asyncio.Event | None = None  # on_message waits for it
        self.port = 0
        self.make_listener: Callable[[], socket.socket] = lambda: listener(self.port)
        self.server: NodeServer

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        """Listen, on the same port as before when there was one."""
        self.server = NodeServer(
            TRUST_DOMAIN,
            on_hello=self._hello,
            on_message=self._message,
            on_gone=self._gone,
            sign=self._sign,
            token=self._token,
            on_told=lambda node, message: self.told.append((node, message)),
            on_session=self._session,
            revoked=self._revoked,
        )
        sock = self.make_listener()
        self.port = sock.getsockname()[1]
        await self.server.start(sock, context or self.pki.server())

    async def stop(self) -> None:
        """End all streams."""
        await self.server.close()

    @asynccontextmanager
    async def client(self, node: str, context: ssl.SSLContext | None = None) -> AsyncIterator[ClientStream]:
        """A stream with the certificate of `node` (or another context); says nothing yet."""
        if context is None:
            context = client_context(self.pki.node(node).path, self.pki.ca.bundle_pem)
        async with connect("127.0.0.1", self.port, context, "127.0.0.1") as stream:
            yield stream

    @asynccontextmanager
    async def standing_by(self, node: str) -> AsyncIterator[ClientStandby]:
        """The stream of a node that obeys another controller, after Hello."""
        context = client_context(self.pki.node(node).path, self.pki.ca.bundle_pem)
        async with connect_standby("127.0.0.1", self.port, context, "127.0.0.1") as stream:
            await stream.send(hello(node))
            await until(lambda: node in self.server.nodes())
            yield stream

    @asynccontextmanager
    async def greeted(self, node: str) -> AsyncIterator[ClientStream]:
        """A stream after Hello and the full state."""
        async with self.client(node) as stream:
            await stream.send(hello(node))
            assert await stream.next() == FULL
            yield stream

    def _revoked(self, certificate: x509.Certificate) -> str:
        node = str(leaf_identity(certificate)).rpartition("/")[2]
        self.seen.append(node)
        return self.revoked.get(node, "")

    async def _token(self, node: str, want: WantToken) -> TokenIssued:
        if want.uid == "refused":
            return TokenIssued(request=want.request, error="not yours")
        return TokenIssued(request=want.request, token=f"{node} {want.pod} {want.audience}", expires=1.0)

    async def _session(self, node: str, _stream: ServerSession) -> None:
        self.events.append(("session", node))
        if self.serving is not None:
            await self.serving.wait()

    async def _hello(self, node: str, _message: Hello) -> None:
        if not self.leads:
            raise StreamRefused("this controller stands by")
        self.events.append(("hello", node))
        await self.server.send(node, FULL)

    async def _message(self, node: str, message: ToController) -> None:
        if self.hold is not None:
            await self.hold.wait()
        self.messages.append((node, message))

    async def _gone(self, node: str) -> None:
        self.events.append(("gone", node))

    async def _sign(self, node: str, message: Sign) -> Signed:
        return Signed(request=message.request, chain_pem=self.pki.ca.sign_node(message.csr_pem, node))


@asynccontextmanager
async def refused(reason: str) -> AsyncIterator[None]:
    """Passes when the block ends with the controller's refusal for `reason`."""
    try:
        yield
    except StreamRefused as error:
        if reason not in str(error):
            raise
    else:
        raise AssertionError(f"not refused; expected: {reason}")


@asynccontextmanager
async def controller(pki: Pki, identity: str = "") -> AsyncIterator[Controller]:
    """A controller that is stopped in the end; with a name of its own if it has an `identity`."""
    running = Controller(pki)
    await running.start(pki.server(name_of(identity)) if identity else None)
    try:
        yield running
    finally:
        await running.stop()
