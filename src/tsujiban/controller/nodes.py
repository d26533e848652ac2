"""The controller's side of all node streams: who is connected, as proven by certificate.

A node's name comes from its certificate and nowhere else. A message that speaks in the name of
another node ends the stream: a node that is confused or compromised must not be half believed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import structlog
from cryptography import x509

from tsujiban.controller.nodechecks import check, check_hello, identify
from tsujiban.identity.certificates import validity_of
from tsujiban.wire.messages import (
    ControllerAddress,
    Controllers,
    Flows,
    Hello,
    NodeStatus,
    OpenSession,
    Sign,
    Signed,
    ToController,
    TokenIssued,
    ToNode,
    WantToken,
)
from tsujiban.wire.outbox import Outbox, OutboxFull
from tsujiban.wire.together import first_failure
from tsujiban.wire.transport import (
    NodeStreamServer,
    ServerSession,
    ServerStandby,
    ServerStream,
    StreamLost,
    StreamRefused,
)

log = structlog.get_logger(__name__)

HELLO_TIMEOUT = 10.0  # seconds
STOPPING = "the controller is stopping"
QUEUE_LIMIT = 4096  # messages that may wait for a slow node before it must start over

OnHello = Callable[[str, Hello], Awaitable[None]]
OnMessage = Callable[[str, ToController], Awaitable[None]]
OnGone = Callable[[str], Awaitable[None]]
OnTold = Callable[[str, NodeStatus | Flows], None]
SignCsr = Callable[[str, Sign], Awaitable[Signed]]
IssueToken = Callable[[str, WantToken], Awaitable[TokenIssued]]
OnSession = Callable[[str, ServerSession], Awaitable[None]]
Revoked = Callable[[x509.Certificate], str]
MergeKey = Callable[[ToNode], Hashable]
Merge = Callable[[ToNode, ToNode], ToNode | None]


def _not_revoked(_certificate: x509.Certificate) -> str:
    return ""


def _no_key(_message: ToNode) -> None:
    return None


async def _no_token(_node: str, message: WantToken) -> TokenIssued:
    return TokenIssued(request=message.request, error="this controller issues no tokens")


def _not_told(_node: str, _message: NodeStatus | Flows) -> None:
    return None


async def _no_session(_node: str, _stream: ServerSession) -> None:
    raise StreamRefused("no session was asked for")


def _no_merge(_older: ToNode, _newer: ToNode) -> None:
    return None


class _Session:
    """One live stream. `among` are those of its kind, by node."""

    def __init__(
        self,
        node: str,
        among: dict[str, _Session],
        stream: ServerStream | ServerStandby,
        outbox: Outbox[ToNode],
        certificate: x509.Certificate,
        learns: bool,
    ) -> None:
        self.node = node
        self.among = among
        self.certificate = certificate
        self.learns = learns  # takes `Controllers`
        self.stream = stream
        self.outbox = outbox
        self.expires = validity_of(certificate).not_after
        self.ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()

    async def send(self, message: ToNode) -> None:
        """Returns when it is in the socket's buffer."""
        match self.stream, message:
            case ServerStream() as stream, _:
                await stream.send(message)
            case ServerStandby() as stream, (
                OpenSession() | Controllers()
            ) as said:  # all that is queued there
                await stream.send(said)

    def end(self, reason: str) -> None:
        """Make the stream end, with a reason for the node."""
        if not self.ending.done():
            self.ending.set_result(reason)


class NodeServer:
    """Serves node streams; one live stream per node, a newer one replaces an older.

    `on_hello(node, hello)` is awaited before any message of that stream is read: it sends the full
    state with `send`, or raises StreamRefused. `on_message(node, message)` gets everything else but
    `Sign` and `WantToken`, in order; whatever a message says of pods must be checked against the store.
    `on_gone` is awaited when a node's stream ended and no newer one has replaced it. `merge_key` and `merge`
    coalesce what waits for a slow node (see `wire.outbox.Outbox`). `on_session(node, stream)` serves a
    session that a node opens (`controller.sessions`). `revoked(certificate)` says why one is not taken, ""
    when it is.

    A node that obeys another controller keeps a stream to this one as well, over which it is only asked for
    sessions (`ask`) and tells how it is and what flows: `on_told(node, message)`.
    """

    def __init__(
        self,
        trust_domain: str,
        *,
        on_hello: OnHello,
        on_message: OnMessage,
        on_gone: OnGone,
        sign: SignCsr,
        token: IssueToken = _no_token,
        on_session: OnSession = _no_session,
        on_told: OnTold = _not_told,
        merge_key: MergeKey = _no_key,
        merge: Merge = _no_merge,
        revoked: Revoked = _not_revoked,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._trust_domain = trust_domain
        self._on_hello = on_hello
        self._on_message = on_message
        self._on_gone = on_gone
        self._sign = sign
        self._token = token
        self._on_session = on_session
        self._on_told = on_told
        self._merge_key = merge_key
        self._merge = merge
        self._revoked = revoked
        self._clock = clock
        self._sessions: dict[str, _Session] = {}
        self._standby: dict[str, _Session] = {}
        self._stopping = asyncio.Event()
        self._calls: dict[asyncio.Future[str], x509.Certificate] = {}  # sessions, by what ends them
        self._opening: set[asyncio.Event] = set()  # streams that are no session yet, until they are over
        self._server = NodeStreamServer(self._obeyed, self._serve_session, self._told)
        self._known: Controllers | None = None

    async def start(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        """Serve on a bound socket, which may have been opened in another network namespace."""
        self._stopping.clear()
        await self._server.start(listener, context)

    async def close(self) -> None:
        """End all streams, telling the nodes, and stop listening.

        A connection that is there already may still open its stream: it is refused.
        """
        self._stopping.set()
        sessions = [*self._sessions.values(), *self._standby.values()]
        for session in sessions:
            session.end(STOPPING)
        ends = [*self._opening, *(session.over for session in sessions)]
        await asyncio.gather(*(end.wait() for end in ends))
        self._server.close()

    def nodes(self) -> frozenset[str]:
        """Names of the nodes that are connected, whomever they obey."""
        return frozenset(self._sessions.keys() | self._standby.keys())

    def disconnect(self, node: str, reason: str) -> None:
        """End the streams of a node, e.g. because it was deleted."""
        for session in (self._sessions.get(node), self._standby.get(node)):
            if session is not None:
                session.end(reason)

    def end_revoked(self) -> None:
        """End every stream and session of a certificate that is not taken any more."""
        for session in (*self._sessions.values(), *self._standby.values()):
            reason = self._revoked(session.certificate)
            if reason:
                session.end(reason)
        for ending, certificate in self._calls.items():
            reason = self._revoked(certificate)
            if reason and not ending.done():
                ending.set_result(reason)

    async def send(self, node: str, message: ToNode) -> bool:
        """Queue a message; False when the node is not connected. Never waits for the node:
        one that is too slow is disconnected, and gets the full state when it comes back."""
        return self._queue(self._sessions.get(node), message)

    def introduce(self, known: tuple[ControllerAddress, ...]) -> None:
        """Tell nodes of these controllers, now and when they connect: those that say that they learn."""
        self._known = Controllers(known=known)
        for session in (*self._sessions.values(), *self._standby.values()):
            self._introduce(session)

    def _introduce(self, session: _Session) -> None:
        if session.learns and self._known is not None:
            self._queue(session, self._known)

    async def ask(self, node: str, message: OpenSession) -> bool:
        """`send`, over whichever stream there is: a session is asked for by any controller."""
        return self._queue(self._sessions.get(node) or self._standby.get(node), message)

    def _queue(self, session: _Session | None, message: ToNode) -> bool:
        if session is None or session.ending.done():
            return False
        try:
            session.outbox.put(message)
        except OutboxFull as error:
            log.warning("node is too slow", node=session.node, reason=str(error))
            session.end("too slow; connect again for the full state")
            return False
        return True

    # ------------------------------------------------------------ one stream

    async def _obeyed(self, stream: ServerStream) -> None:
        await self._serve(stream, self._sessions)

    async def _told(self, stream: ServerStandby) -> None:
        await self._serve(stream, self._standby)

    async def _serve(self, stream: ServerStream | ServerStandby, among: dict[str, _Session]) -> None:
        over = asyncio.Event()
        self._opening.add(over)
        try:
            session, hello = await self._admit(stream, among)
        except StreamRefused as refusal:
            log.warning("node refused", address=stream.peer_address, reason=str(refusal))
            raise
        finally:
            self._opening.discard(over)
            over.set()
        try:
            await self._replace(session)
            await self._run(session, hello)
        except (StreamRefused, StreamLost) as end:
            log.warning("node disconnected", node=session.node, reason=str(end))
            raise
        finally:
            await self._leave(session)

    async def _serve_session(self, stream: ServerSession) -> None:
        node, certificate = self._identify(stream.peer_certificate)
        if node not in self.nodes():
            raise StreamRefused("a node that has no stream serves no session")
        ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.ensure_future(self._on_session(node, stream))
        self._calls[ending] = certificate
        try:
            either: set[asyncio.Future[Any]] = {serving, ending}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                raise StreamRefused(ending.result())
            serving.result()
        finally:
            del self._calls[ending]
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _admit(
        self, stream: ServerStream | ServerStandby, among: dict[str, _Session]
    ) -> tuple[_Session, Hello]:
        node, certificate = self._identify(stream.peer_certificate)
        hello = check_hello(node, await self._first_message(stream))
        self._refuse_revoked(certificate)  # meanwhile, perhaps
        outbox: Outbox[ToNode] = Outbox(QUEUE_LIMIT, self._merge_key, self._merge)
        return _Session(node, among, stream, outbox, certificate, hello.learns), hello

    def _identify(self, der: bytes) -> tuple[str, x509.Certificate]:
        node, certificate = identify(der, self._trust_domain, self._clock())
        self._refuse_revoked(certificate)
        return node, certificate

    def _refuse_revoked(self, certificate: x509.Certificate) -> None:
        reason = self._revoked(certificate)
        if reason:
            raise StreamRefused(reason)

    async def _first_message(self, stream: ServerStream | ServerStandby) -> ToController | None:
        """What a node says first. Raises StreamRefused when that takes too long, or this server stops."""
        first = asyncio.ensure_future(stream.receive())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            done, _ = await asyncio.wait(
                (first, stopping), timeout=HELLO_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
            if stopping in done:
                raise StreamRefused(STOPPING)
            if not done:
                raise StreamRefused("no Hello in time")
            return first.result()
        finally:
            first.cancel()
            stopping.cancel()
            await asyncio.gather(first, stopping, return_exceptions=True)

    async def _replace(self, session: _Session) -> None:
        """Become the node's stream, after an older one has handled its last message."""
        if self._stopping.is_set():
            raise StreamRefused(STOPPING)
        older = session.among.get(session.node)
        session.among[session.node] = session
        if older is not None:
            older.end("replaced by a newer stream of the same node")
            await older.over.wait()
        if session.ending.done():
            raise StreamRefused(session.ending.result())
        self._introduce(session)
        log.info("node connected", node=session.node)

    async def _leave(self, session: _Session) -> None:
        """Tell that the node is gone, unless a newer stream has taken over (it waits for `over`)."""
        session.end("the stream has ended")
        try:
            if self._sessions.get(session.node) is session:
                await self._on_gone(session.node)
        finally:
            if session.among.get(session.node) is session:
                del session.among[session.node]
            session.over.set()

    async def _run(self, session: _Session, hello: Hello) -> None:
        await first_failure(
            self._read(session, hello), self._write(session), self._end(session), session.stream.watch()
        )

    async def _read(self, session: _Session, hello: Hello) -> None:
        node, standby = session.node, session.among is self._standby
        if not standby:
            await self._on_hello(node, hello)
        while (message := await session.stream.receive()) is not None:
            if isinstance(message, Sign):
                await self.send(node, await self._sign(node, message))
            elif isinstance(message, WantToken):
                await self.send(node, await self._token(node, message))
            elif isinstance(message, Hello):
                raise StreamRefused("a second Hello")
            elif standby and isinstance(message, NodeStatus | Flows):
                check(node, message)
                self._on_told(node, message)
            else:
                check(node, message)
                await self._on_message(node, message)

    async def _write(self, session: _Session) -> None:
        while True:
            await session.send(await session.outbox.get())

    async def _end(self, session: _Session) -> None:
        """Refuse when asked to, or when the certificate expires."""
        try:
            async with asyncio.timeout(max(0.0, session.expires - self._clock())):
                reason = await session.ending
        except TimeoutError as error:
            raise StreamRefused("the certificate has expired") from error
        raise StreamRefused(reason)
