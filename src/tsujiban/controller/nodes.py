"""The controller's side of all node streams: who is connected, as proven by certificate.

A node's name comes from its certificate and nowhere else. A message that speaks in the name of
another node ends the stream: a node that is confused or compromised must not be half believed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Hashable

import msgspec
import structlog
from cryptography import x509

from tsujiban.identity.certificates import validity_of
from tsujiban.identity.verify import VerificationError, leaf_identity
from tsujiban.resources.names import node_identity
from tsujiban.wire.messages import (
    PROTOCOL_VERSION,
    SYSTEM,
    Flow,
    Flows,
    Hello,
    PodStatus,
    Sign,
    Signed,
    ToController,
    TokenIssued,
    ToNode,
    WantToken,
)
from tsujiban.wire.outbox import Outbox, OutboxFull
from tsujiban.wire.transport import (
    NodeStreamServer,
    ServerSession,
    ServerStream,
    StreamLost,
    StreamRefused,
)

log = structlog.get_logger(__name__)

HELLO_TIMEOUT = 10.0  # seconds
STOPPING = "the controller is stopping"
MAX_ADDRESSES = 16
MAX_SYSTEM_TEXT = 200  # characters of one thing that a node says of its machine
MAX_FLOW_TEXT = 16 * 1024  # characters of one flow record; many are kept
QUEUE_LIMIT = 4096  # messages that may wait for a slow node before it must start over

OnHello = Callable[[str, Hello], Awaitable[None]]
OnMessage = Callable[[str, ToController], Awaitable[None]]
OnGone = Callable[[str], Awaitable[None]]
SignCsr = Callable[[str, Sign], Awaitable[Signed]]
IssueToken = Callable[[str, WantToken], Awaitable[TokenIssued]]
OnSession = Callable[[str, ServerSession], Awaitable[None]]
MergeKey = Callable[[ToNode], Hashable]
Merge = Callable[[ToNode, ToNode], ToNode | None]


def _no_key(_message: ToNode) -> None:
    return None


async def _no_token(_node: str, message: WantToken) -> TokenIssued:
    return TokenIssued(request=message.request, error="this controller issues no tokens")


async def _no_session(_node: str, _stream: ServerSession) -> None:
    raise StreamRefused("no session was asked for")


def _no_merge(_older: ToNode, _newer: ToNode) -> None:
    return None


class _Session:
    """One live stream."""

    def __init__(self, node: str, stream: ServerStream, outbox: Outbox[ToNode], expires: float) -> None:
        self.node = node
        self.stream = stream
        self.outbox = outbox
        self.expires = expires
        self.ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()

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
    session that a node opens (`controller.sessions`).
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
        merge_key: MergeKey = _no_key,
        merge: Merge = _no_merge,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._trust_domain = trust_domain
        self._on_hello = on_hello
        self._on_message = on_message
        self._on_gone = on_gone
        self._sign = sign
        self._token = token
        self._on_session = on_session
        self._merge_key = merge_key
        self._merge = merge
        self._clock = clock
        self._sessions: dict[str, _Session] = {}
        self._stopping = asyncio.Event()
        self._opening: set[asyncio.Event] = set()  # streams that are no session yet, until they are over
        self._server = NodeStreamServer(self._serve, self._serve_session)

    async def start(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        """Serve on a bound socket, which may have been opened in another network namespace."""
        self._stopping.clear()
        await self._server.start(listener, context)

    async def close(self) -> None:
        """End all streams, telling the nodes, and stop listening.

        A connection that is there already may still open its stream: it is refused.
        """
        self._stopping.set()
        for session in self._sessions.values():
            session.end(STOPPING)
        ends = [*self._opening, *(session.over for session in self._sessions.values())]
        await asyncio.gather(*(end.wait() for end in ends))
        self._server.close()

    def nodes(self) -> frozenset[str]:
        """Names of the connected nodes."""
        return frozenset(self._sessions)

    def disconnect(self, node: str, reason: str) -> None:
        """End the stream of a node, e.g. because it was deleted."""
        session = self._sessions.get(node)
        if session is not None:
            session.end(reason)

    async def send(self, node: str, message: ToNode) -> bool:
        """Queue a message; False when the node is not connected. Never waits for the node:
        one that is too slow is disconnected, and gets the full state when it comes back."""
        session = self._sessions.get(node)
        if session is None or session.ending.done():
            return False
        try:
            session.outbox.put(message)
        except OutboxFull as error:
            log.warning("node is too slow", node=node, reason=str(error))
            session.end("too slow; connect again for the full state")
            return False
        return True

    # ------------------------------------------------------------ one stream

    async def _serve(self, stream: ServerStream) -> None:
        over = asyncio.Event()
        self._opening.add(over)
        try:
            session, hello = await self._admit(stream)
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
        node, _ = self._identify(stream.peer_certificate)
        if node not in self._sessions:
            raise StreamRefused("a node that has no stream serves no session")
        await self._on_session(node, stream)

    async def _admit(self, stream: ServerStream) -> tuple[_Session, Hello]:
        node, expires = self._identify(stream.peer_certificate)
        hello = await self._first_message(stream)
        if not isinstance(hello, Hello):
            raise StreamRefused("the first message must be Hello")
        if hello.node != node:
            raise StreamRefused(f"Hello says node {hello.node[:100]!r}, the certificate {node!r}")
        if hello.protocol != PROTOCOL_VERSION:
            raise StreamRefused(
                f"protocol {hello.protocol} is not {PROTOCOL_VERSION}; upgrade the older side"
            )
        _check_addresses(hello.addresses)
        _check_system(hello.system)
        return _Session(node, stream, Outbox(QUEUE_LIMIT, self._merge_key, self._merge), expires), hello

    async def _first_message(self, stream: ServerStream) -> ToController | None:
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

    def _identify(self, der: bytes) -> tuple[str, float]:
        """Name of the node and expiry of its certificate (UNIX seconds)."""
        try:
            certificate = x509.load_der_x509_certificate(der)
            identity = leaf_identity(certificate, self._trust_domain)
        except (ValueError, VerificationError, x509.InvalidVersion) as error:
            raise StreamRefused(f"certificate is not a node's: {error}") from error
        node = identity.path.rpartition("/")[2]
        if str(identity) != node_identity(self._trust_domain, node):
            raise StreamRefused(f"{identity} is not a node")
        expires = validity_of(certificate).not_after
        if expires <= self._clock():
            raise StreamRefused("the certificate has expired")
        return node, expires

    async def _replace(self, session: _Session) -> None:
        """Become the node's stream, after an older one has handled its last message."""
        if self._stopping.is_set():
            raise StreamRefused(STOPPING)
        older = self._sessions.get(session.node)
        self._sessions[session.node] = session
        if older is not None:
            older.end("replaced by a newer stream of the same node")
            await older.over.wait()
        if session.ending.done():
            raise StreamRefused(session.ending.result())
        log.info("node connected", node=session.node)

    async def _leave(self, session: _Session) -> None:
        """Tell that the node is gone, unless a newer stream has taken over (it waits for `over`)."""
        session.end("the stream has ended")
        try:
            if self._sessions.get(session.node) is session:
                await self._on_gone(session.node)
        finally:
            if self._sessions.get(session.node) is session:
                del self._sessions[session.node]
            session.over.set()

    async def _run(self, session: _Session, hello: Hello) -> None:
        tasks: set[asyncio.Future[object]] = {
            asyncio.ensure_future(coroutine)
            for coroutine in (
                self._read(session, hello),
                self._write(session),
                self._end(session),
                session.stream.watch(),
            )
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, session: _Session, hello: Hello) -> None:
        node = session.node
        await self._on_hello(node, hello)
        while (message := await session.stream.receive()) is not None:
            if isinstance(message, Sign):
                await self.send(node, await self._sign(node, message))
            elif isinstance(message, WantToken):
                await self.send(node, await self._token(node, message))
            elif isinstance(message, Hello):
                raise StreamRefused("a second Hello")
            else:
                _check(node, message)
                await self._on_message(node, message)

    async def _write(self, session: _Session) -> None:
        while True:
            await session.stream.send(await session.outbox.get())

    async def _end(self, session: _Session) -> None:
        """Refuse when asked to, or when the certificate expires."""
        try:
            async with asyncio.timeout(max(0.0, session.expires - self._clock())):
                reason = await session.ending
        except TimeoutError as error:
            raise StreamRefused("the certificate has expired") from error
        raise StreamRefused(reason)


def _check_system(system: dict[str, str]) -> None:
    """What a node says of its machine is shown to people, beside what is nobody's to say but ours."""
    strange = sorted(system.keys() - set(SYSTEM))
    if strange:
        raise StreamRefused(f"Hello tells {strange[0][:100]!r} of its machine, which is none of its to tell")
    if any(len(value) > MAX_SYSTEM_TEXT or not value.isprintable() for value in system.values()):
        raise StreamRefused(
            f"Hello describes its machine in more than {MAX_SYSTEM_TEXT} printable characters"
        )


def _check_addresses(addresses: tuple[str, ...]) -> None:
    """Addresses of a node become configuration of other nodes, so they must be nothing else."""
    if len(addresses) > MAX_ADDRESSES:
        raise StreamRefused(f"Hello names more than {MAX_ADDRESSES} addresses")
    for address in addresses:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError as error:
            raise StreamRefused(f"Hello names {address[:100]!r}, which is not an address") from error
        scoped = "%" in address  # Python takes any text as an IPv6 scope, line breaks included
        useless = parsed.is_multicast or parsed.is_unspecified or parsed.is_loopback
        if scoped or useless or str(parsed) != address:
            raise StreamRefused(f"Hello names {address[:100]!r}, which is not the address of a node")


def _check(node: str, message: ToController) -> None:
    """Refuse what no honest node says."""
    if isinstance(message, Flows) and any(flow.node != node for flow in message.flows):
        raise StreamRefused("a flow record in the name of another node")
    if isinstance(message, Flows) and any(_text(flow) > MAX_FLOW_TEXT for flow in message.flows):
        raise StreamRefused(f"a flow record of more than {MAX_FLOW_TEXT} characters")
    if isinstance(message, PodStatus):
        try:
            msgspec.json.decode(message.status, type=dict[str, object])
        except (msgspec.MsgspecError, RecursionError) as error:
            raise StreamRefused("a pod status that is not a JSON object") from error


def _text(flow: Flow) -> int:
    return sum(len(value) for value in msgspec.structs.astuple(flow) if isinstance(value, str))
