"""The controller's end of sessions: a log, a command or a connection of a pod, asked of the pod's node.

Any controller asks, whichever leads: every node has a stream to each (`controller.nodes`). So a client is
authorized and audited by the controller that serves it, and no controller takes another's word for anybody.

A session has a secret name that only the node that was asked knows; the node calls back with it, under its
own certificate. So a node can answer for its own pods only, and only what it was asked.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from tsujiban.wire.messages import OpenSession
from tsujiban.wire.sessions import Asks, Begin, FromSession, ToSession
from tsujiban.wire.transport import BadMessage, ServerSession, StreamLost, StreamRefused

ANSWER_SECONDS = 10.0  # for the node to call back
BEGIN_SECONDS = 10.0  # from its connection to its first frame
MAX_PER_NODE = 128

_T = TypeVar("_T")
Deliver = Callable[[str, OpenSession], Awaitable[bool]]


class PodRef(msgspec.Struct, frozen=True):
    """A pod on a node."""

    node: str
    key: str  # namespace/name
    uid: str


class SessionUnavailable(Exception):
    """There can be no such session; the text is for the user. `missing`: what was asked for is not there.
    `passing`: the same may be asked again soon."""

    def __init__(self, message: str, *, missing: bool = False, passing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing
        self.passing = passing


class Session:
    """One that has begun. What ends it early is raised as StreamLost."""

    def __init__(self, stream: ServerSession) -> None:
        self._stream = stream
        self.over = asyncio.Event()  # the API has done with it
        self.abandoned = False  # and not because its client has left
        self.gone = asyncio.Event()  # the node has

    def abandon(self) -> None:
        """The node is not to take the end, which follows, for that of the client."""
        self.abandoned = True

    async def send(self, frame: ToSession) -> None:
        """Returns when there is room for more."""
        await self._until_gone(self._stream.send(frame))

    async def receive(self) -> FromSession:
        """The next frame; `Exit` is the last."""
        try:
            frame = await self._until_gone(self._stream.receive())
        except BadMessage as error:
            raise StreamLost(f"the node sent what is no frame: {error}") from error
        if frame is None:
            raise StreamLost("the node ended the session")
        return frame

    async def _until_gone(self, work: Awaitable[_T]) -> _T:
        doing = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self.gone.wait())
        try:
            either: set[asyncio.Future[Any]] = {doing, leaving}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise StreamLost("the connection to the node was lost")
            return doing.result()
        finally:
            doing.cancel()
            leaving.cancel()


class Sessions:
    """All sessions. `deliver` sends a message to a node, or says that the node is not connected."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._awaited: dict[str, tuple[str, asyncio.Future[Session]]] = {}
        self._count: Counter[str] = Counter()

    @asynccontextmanager
    async def open(self, pod: PodRef, ask: Asks) -> AsyncIterator[Session]:
        """Have the pod's node serve `ask`; the session ends with the block. Raises SessionUnavailable."""
        if self._count[pod.node] >= MAX_PER_NODE:
            raise SessionUnavailable(f"node {pod.node} serves {MAX_PER_NODE} sessions already; close some")
        self._count[pod.node] += 1
        try:
            session = await self._begin(pod, ask)
            try:
                yield session
            finally:
                session.over.set()
        finally:
            self._count[pod.node] -= 1

    async def _begin(self, pod: PodRef, ask: Asks) -> Session:
        name = secrets.token_urlsafe(24)
        answer: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._awaited[name] = (pod.node, answer)
        try:
            request = OpenSession(session=name, pod=pod.key, uid=pod.uid, ask=ask)
            if not await self._deliver(pod.node, request):
                message = f"node {pod.node}, on which pod {pod.key} runs, is not connected to this controller"
                raise SessionUnavailable(message, passing=True)
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await answer
            except BaseException:
                _decline(answer)
                raise
        except TimeoutError:
            raise SessionUnavailable(f"node {pod.node} did not answer in {ANSWER_SECONDS:g} s") from None
        finally:
            del self._awaited[name]

    async def serve(self, node: str, stream: ServerSession) -> None:
        """A node calls back; `node` is what its certificate says. Returns when the session is over."""
        try:
            async with asyncio.timeout(BEGIN_SECONDS):
                begin = await stream.receive()
        except TimeoutError:
            raise StreamRefused("the session did not begin in time") from None
        if not isinstance(begin, Begin):
            raise StreamRefused("the first frame must be Begin")
        asked, answer = self._awaited.get(begin.session, ("", None))
        if answer is None or asked != node or answer.done():
            raise StreamRefused("no such session was asked of this node, or it is over")
        if begin.error:
            answer.set_exception(SessionUnavailable(begin.error[:2000], missing=begin.missing))
            return
        session = Session(stream)
        answer.set_result(session)
        watching = asyncio.ensure_future(stream.watch())
        ending = asyncio.ensure_future(session.over.wait())
        try:
            either: set[asyncio.Future[Any]] = {watching, ending}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            session.gone.set()
            for task in (watching, ending):
                task.cancel()
            await asyncio.gather(watching, ending, return_exceptions=True)
        if session.abandoned:
            raise StreamRefused("the controller ends")


def _decline(answer: asyncio.Future[Session]) -> None:
    """Nobody waits any more: a session that has begun in this very moment is over."""
    if not answer.cancel() and not answer.cancelled() and answer.exception() is None:
        answer.result().over.set()
