"""The node's side of the node stream: always connected, or about to be. To the controllers that do not lead
there are streams as well (`agent.standby`), for sessions.

The node works on without its controller; what it has to tell waits here in bounded space, and
newer news replaces older. Nothing in here touches the data plane.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import structlog

from tsujiban.agent.credentials import CredentialsError, NodeCredentials, load, save
from tsujiban.agent.standby import StandbyLink
from tsujiban.agent.ways import Way, Ways
from tsujiban.identity.keys import create_csr, new_key
from tsujiban.identity.rotation import SignFailed, next_renewal, retry_delay
from tsujiban.identity.tls import TlsError, client_context
from tsujiban.waiting import apart
from tsujiban.wire.messages import (
    ControllerAddress,
    Controllers,
    Enforced,
    Flows,
    Hello,
    NodeStatus,
    OpenSession,
    PodStatus,
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
    BadMessage,
    ClientSession,
    ClientStandby,
    ClientStream,
    StreamLost,
    StreamRefused,
    connect,
    connect_session,
    connect_standby,
)

log = structlog.get_logger(__name__)

FIRST_RETRY = 0.1  # seconds
LAST_RETRY = 2.0
STABLE = 5.0  # seconds that a stream must live for the next retry to be quick again
SIGN_TIMEOUT = 10.0
OUTBOX_LIMIT = 8192  # messages
FLOWS_LIMIT = 32  # messages, from which on flow records are dropped: everything else goes first
INBOX_LIMIT = 64  # messages; a slow agent makes the controller wait, and then start over

Dial = Callable[[], AbstractAsyncContextManager[ClientSession]]
OnSession = Callable[[OpenSession, Dial], None]


def _no_sessions(_message: OpenSession, _dial: Dial) -> None:
    return None


async def _nothing() -> None:
    return None


class ControllerLink:
    """Keeps the node stream up. `run` it as a task, read `messages`, `send` what there is to say."""

    def __init__(
        self,
        controllers: Sequence[tuple[str, int]],
        node: str,
        directory: Path,
        hello: Callable[[], Hello],
        *,
        server_name: str = "",
        on_connected: Callable[[], None] = lambda: None,
        on_learned: Callable[[], None] = lambda: None,
        on_session: OnSession = _no_sessions,
        rejoin: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """`controllers` are host and port of each that is configured, tried in turn with those that the node
        is told of (`agent.ways`): one of them leads. `directory` holds the node's credentials
        (`agent.credentials`); `hello` makes the first message of every stream; `server_name` is what the
        controller's certificate must say when it is not its host; `on_connected` is called after Hello was
        sent, so that the agent queues what the controller may have missed (statuses of all pods),
        `on_learned` when `known` has changed, `rejoin` when the node's certificate is not taken: it may get
        another. `on_session` serves a session that any of the controllers asks for; what it is given connects
        to that one."""
        self._rejoin = rejoin
        self._ways = Ways(controllers, server_name)
        self._node = node
        self._directory = directory
        self._hello = hello
        self._on_connected = on_connected
        self._on_learned = on_learned
        self._on_session = on_session
        self._standby: dict[Way, StandbyLink] = {}
        self._standing: dict[Way, asyncio.Task[None]] = {}
        self._refused = False  # by one of them that did not lead
        self._obeyed: tuple[Way | None, str] = None, ""  # the way to the controller, and its identity
        self._status: NodeStatus | None = None
        self._tasks: asyncio.TaskGroup | None = None  # while it runs
        self._outbox: Outbox[ToController] = Outbox(OUTBOX_LIMIT, _key, _newer)
        self._inbox: asyncio.Queue[ToNode] = asyncio.Queue(INBOX_LIMIT)
        self._requests = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Signed | TokenIssued]] = {}
        self._connected = asyncio.Event()
        self._renewal_error = ""
        self.dropped = 0  # messages that found the outbox full

    # ------------------------------------------------------------ for the agent

    @property
    def connected(self) -> bool:
        """Whether a stream is up now."""
        return self._connected.is_set()

    @property
    def known(self) -> tuple[ControllerAddress, ...]:
        """The controllers that the node was told of."""
        return self._ways.known

    def learn(self, known: Sequence[ControllerAddress], *, whole: bool = False) -> None:
        """Take controllers that the node was told of, now or in an earlier life; see `Ways.learn`."""
        if self._ways.learn(known, whole=whole):
            self._stand_by()
            self._on_learned()

    @property
    def renewal_error(self) -> str:
        """Why the node's own certificate could not be renewed; "" when all is well."""
        return self._renewal_error

    async def messages(self) -> AsyncIterator[ToNode]:
        """What the controller says, of one stream after the other; answers to questions and what is asked for
        of sessions excepted. Never ends.

        Each stream begins with the full state, so the seam needs no care."""
        while True:
            yield await self._inbox.get()

    def send(self, message: ToController) -> None:
        """Queue a message; never blocks. Of statuses the newest is kept; flow records are dropped
        (and counted in `dropped`) when many messages wait."""
        if isinstance(message, NodeStatus):
            self._status = message
        if isinstance(message, NodeStatus | Flows):
            for standby in self._standby.values():
                standby.tell(message)
        if isinstance(message, Flows) and not self.takes_flows():
            self.dropped += 1
            return
        try:
            self._outbox.put(message)
        except OutboxFull:
            self.dropped += 1

    def takes_flows(self) -> bool:
        """Whether flow records would be sent, and not dropped."""
        return len(self._outbox) < FLOWS_LIMIT

    async def sign(self, pod: str, csr_pem: str) -> str:
        """Chain for a pod of this node ("" for the node itself). Raises SignFailed.

        Waits up to SIGN_TIMEOUT seconds for a connection and the answer."""
        answer = await self._ask(lambda request: Sign(request=request, pod=pod, csr_pem=csr_pem))
        if not isinstance(answer, Signed) or not answer.chain_pem:
            raise SignFailed("the controller sent no certificate")
        return answer.chain_pem

    async def token(self, pod: str, uid: str, seconds: int, audience: str) -> TokenIssued:
        """A token for the account of a pod of this node; audience "" is the API. Raises SignFailed, as
        `sign`."""
        answer = await self._ask(
            lambda request: WantToken(request=request, pod=pod, uid=uid, seconds=seconds, audience=audience)
        )
        if not isinstance(answer, TokenIssued) or not answer.token:
            raise SignFailed("the controller sent no token")
        return answer

    async def _ask(self, question: Callable[[int], Sign | WantToken]) -> Signed | TokenIssued:
        request = next(self._requests)
        answer: asyncio.Future[Signed | TokenIssued] = asyncio.get_running_loop().create_future()
        self._waiting[request] = answer
        try:
            async with asyncio.timeout(SIGN_TIMEOUT):
                await self._connected.wait()
                self._outbox.put(question(request))
                return await answer
        except TimeoutError as error:
            raise SignFailed("the controller did not answer in time") from error
        except OutboxFull as error:
            raise SignFailed(str(error)) from error
        finally:
            del self._waiting[request]

    async def run(self) -> None:
        """Connect, and connect again, until cancelled; renew the node's certificate meanwhile."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._stand_by()
            tasks.create_task(self._stay_connected())
            tasks.create_task(self._renew())

    # ------------------------------------------------------------ the connections

    def _stand_by(self) -> None:
        """Have a stream to each controller, when there are several and the node runs. The only one that is
        known says of which others it knows on such a stream, when it does not lead."""
        if self._tasks is None:
            return
        wanted = self._ways.all if len(self._ways.all) > 1 or self._refused else ()
        for way in self._standby.keys() - set(wanted):
            del self._standby[way]
            self._standing.pop(way).cancel()
        for way in wanted:
            if way not in self._standby:
                dial, asked = partial(self._dial_standby, way), partial(self._asked, way)
                met = partial(self._met, way)
                standby = StandbyLink(dial, self._hello, asked, self._told, met)
                if self._status is not None:
                    standby.tell(self._status)
                self._standby[way] = standby
                self._standing[way] = self._tasks.create_task(standby.run())
        self._obey(*self._obeyed)

    def _told(self, message: Controllers) -> None:
        """One that stands by says which controllers there are: of use to who has no leader that would
        know."""
        if self._obeyed[0] is None:
            self.learn(message.known)

    def _met(self, way: Way, controller: str) -> bool:
        """Whether there is a stream to a controller already, by another way than this."""
        others = (standby.controller for other, standby in self._standby.items() if other != way)
        return bool(controller) and controller in (self._obeyed[1], *others)

    def _way(self, way: Way) -> tuple[str, int, ssl.SSLContext, str]:
        """To a controller. Raises CredentialsError, TlsError."""
        credentials = load(self._directory, self._node)
        context = client_context(credentials.path, credentials.trust.bundle_pem)
        return way.host, way.port, context, way.name

    @asynccontextmanager
    async def _dial_standby(self, way: Way) -> AsyncIterator[ClientStandby]:
        async with connect_standby(*self._way(way)) as stream:
            yield stream

    @asynccontextmanager
    async def _dial_session(self, way: Way) -> AsyncIterator[ClientSession]:
        async with connect_session(*self._way(way)) as stream:
            yield stream

    def _asked(self, way: Way, message: OpenSession) -> None:
        self._on_session(message, partial(self._dial_session, way))

    def _obey(self, way: Way | None, controller: str = "") -> None:
        """Which controller there is a node stream to: all the others stand by."""
        self._obeyed = way, controller
        for other, standby in self._standby.items():
            standby.want(other != way and not (controller and standby.controller == controller))

    async def _stay_connected(self) -> None:
        delay = FIRST_RETRY
        while True:
            began = time.monotonic()
            try:
                await apart(self._session())  # in which grpclib may swallow a cancellation
            except (StreamLost, StreamRefused, BadMessage, CredentialsError, TlsError) as error:
                way = self._ways.present
                log.warning("no controller", host=way.host, port=way.port, reason=str(error))
                if isinstance(error, StreamRefused | CredentialsError):
                    await self._rejoin()
                self._stand_by()
            self._ways.turn()
            delay = FIRST_RETRY if time.monotonic() - began > STABLE else min(delay * 2, LAST_RETRY)
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # jitter, not a secret

    async def _session(self) -> None:
        way = self._ways.present
        try:
            async with connect(*self._way(way)) as stream:
                await stream.send(self._hello())
                self._connected.set()
                self._on_connected()
                await first_failure(self._read(stream, way), self._write(stream), stream.watch())
        except StreamRefused:
            self._refused = self._refused or self._obeyed[0] is None  # it did not lead: there may be others
            raise
        finally:
            self._connected.clear()
            self._obey(None)
            self._outbox.discard(_is_of_one_stream)
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(SignFailed("the connection to the controller was lost"))

    async def _read(self, stream: ClientStream, way: Way) -> None:
        told: Controllers | None = None
        leads = False
        while True:
            message = await stream.next()
            if isinstance(message, Controllers):
                told = message
                self.learn(told.known, whole=leads)
            elif isinstance(message, Signed | TokenIssued):
                self._answer(message)
            elif isinstance(message, OpenSession):
                self._asked(way, message)
            else:
                if not leads:  # one that stands by refuses before it says more
                    leads = True
                    self._obey(way, stream.controller)
                    if told is not None:
                        self.learn(told.known, whole=True)
                await self._inbox.put(message)

    async def _write(self, stream: ClientStream) -> None:
        while True:
            message = await self._outbox.get()
            try:
                await stream.send(message)
            except BadMessage as error:
                self.dropped += 1
                log.error("message dropped", reason=str(error))

    def _answer(self, message: Signed | TokenIssued) -> None:
        answer = self._waiting.get(message.request)
        if answer is None or answer.done():
            return  # it came too late
        if message.error:
            answer.set_exception(SignFailed(message.error))
        else:
            answer.set_result(message)

    # ------------------------------------------------------------ the node's own certificate

    async def _renew(self) -> None:
        failures = 0
        while True:
            await self._connected.wait()
            try:
                credentials = load(self._directory, self._node)
                spread = random.random()  # noqa: S311  # jitter, not a secret
                due = next_renewal(credentials.not_before, credentials.not_after, spread)
                if (left := due - time.time()) > 0:
                    await asyncio.sleep(min(left, 60.0))  # the clock may jump: look again
                    continue
                await self._renew_once(credentials)
            except (SignFailed, CredentialsError, OSError) as error:
                failures += 1
                self._renewal_error = str(error)
                log.warning("node certificate not renewed", reason=str(error))
                await asyncio.sleep(retry_delay(failures, random.random()))  # noqa: S311
            else:
                failures = 0
                self._renewal_error = ""

    async def _renew_once(self, credentials: NodeCredentials) -> None:
        key = new_key()
        chain_pem = await self.sign("", create_csr(key, []))
        save(self._directory, self._node, key, chain_pem, credentials.trust)
        log.info("node certificate renewed", node=self._node)


def _key(message: ToController) -> Hashable:
    match message:
        case NodeStatus():
            return NodeStatus
        case Enforced():
            return Enforced
        case PodStatus():
            return (PodStatus, message.pod)
        case _:
            return None


def _newer(_older: ToController, newer: ToController) -> ToController:
    return newer


def _is_of_one_stream(message: ToController) -> bool:
    """Messages that mean nothing to the next stream."""
    return isinstance(message, Sign | WantToken | Enforced | Hello)
