"""Sessions that a controller asks this node for: logs, commands and connections of its pods.

The node calls that controller back, on a connection of the session's own, with its own certificate: it obeys
nobody but controllers that it has verified, and what it serves is looked up among the pods that it runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

import structlog

from tsujiban.agent import attaching, containers, execution, forwarding, shim
from tsujiban.agent.credentials import CredentialsError
from tsujiban.agent.podlogs import NoPrevious, PodLog
from tsujiban.agent.podrunner import PodRunner
from tsujiban.agent.sandbox import exec_command
from tsujiban.identity.tls import TlsError
from tsujiban.supervise.client import ProcessStatus, Refused, SupervisorClient, SupervisorGone
from tsujiban.wire.messages import OpenSession
from tsujiban.wire.sessions import (
    SIDECAR,
    STDOUT,
    AttachAsk,
    Begin,
    Data,
    ExecAsk,
    Exit,
    ForwardAsk,
    LogAsk,
    ToSession,
)
from tsujiban.wire.transport import BadMessage, ClientSession, StreamLost, StreamRefused

log = structlog.get_logger(__name__)

MAX_SESSIONS = 128
FOLLOW_SECONDS = 0.1  # between looks at a log that is followed
SANDBOX_SECONDS = 5.0  # for what is being built around a container that has just begun
ALIVE_LOOKS = 10  # looks at the log, after which the container is looked at

Dial = Callable[[], AbstractAsyncContextManager[ClientSession]]
Serve = Callable[[ClientSession], Awaitable[None]]


class Missing(LookupError):
    """What is asked for is not here; the text is for the user."""


class CannotServe(RuntimeError):
    """It is here, and cannot be done now; the text is for the user."""


class Sessions:
    """All sessions of this node. They end with it."""

    def __init__(
        self,
        node: str,
        pods: Callable[[], Mapping[str, PodRunner]],
        supervisor: SupervisorClient,
    ) -> None:
        self._node = node
        self._pods = pods
        self._supervisor = supervisor
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, message: OpenSession, dial: Dial) -> None:
        """Serve one, in a task of its own; `dial` leads to the controller that asks."""
        task = asyncio.create_task(self._session(message, dial), name=f"session of {message.pod}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a session has crashed", task=task.get_name(), exc_info=error)

    async def _session(self, message: OpenSession, dial: Dial) -> None:
        try:
            async with dial() as stream:
                with ExitStack() as held:
                    await self._serve(message, stream, held)
                await stream.end()
        except (StreamLost, StreamRefused, BadMessage, CredentialsError, TlsError, OSError) as error:
            log.info("a session has ended early", pod=message.pod, reason=str(error))

    async def _serve(self, message: OpenSession, stream: ClientSession, held: ExitStack) -> None:
        try:
            if len(self._tasks) > MAX_SESSIONS:
                raise CannotServe(f"node {self._node} serves {MAX_SESSIONS} sessions already; close some")
            serve = await self._prepare(message, held)
        except (Missing, NoPrevious) as error:
            await stream.send(Begin(session=message.session, error=str(error), missing=True))
            return
        except (CannotServe, SupervisorGone, Refused, OSError) as error:
            await stream.send(Begin(session=message.session, error=str(error)))
            return
        await stream.send(Begin(session=message.session))
        try:
            await serve(stream)
        except OSError as error:  # of the pod's side: it may end, or its files be gone, at any time
            await stream.send(Exit(code=1, error=str(error)))

    async def _prepare(self, message: OpenSession, held: ExitStack) -> Serve:
        runner = self._pods().get(message.pod)
        if runner is None or runner.uid != message.uid:
            raise Missing(f"pod {message.pod} is not on node {self._node} any more")
        ask = message.ask
        if isinstance(ask, ForwardAsk):
            netns = runner.netns_path
            return lambda stream: forwarding.run(stream, netns, ask)
        spec = runner.pod.spec
        names = [container.name for container in (*spec.containers, *spec.init_containers)]
        if ask.container not in (*names, *((SIDECAR,) if isinstance(ask, LogAsk) else ())):
            raise Missing(f"pod {message.pod} has no container {ask.container!r}")
        status = await self._process(message, ask.container)
        if isinstance(ask, ExecAsk):
            return await self._execution(status, ask)
        if isinstance(ask, AttachAsk):
            path = runner.shim_socket(ask.container)
            return await self._attachment(status, ask, path, held)
        return await self._logging(status, ask)

    async def _process(self, message: OpenSession, container: str) -> ProcessStatus:
        name = containers.process_name(self._node, message.uid, container)
        for status in await self._supervisor.list(name):
            if status.name == name:
                return status
        raise CannotServe(f"container {container!r} of pod {message.pod} has not been started")

    async def _execution(self, status: ProcessStatus, ask: ExecAsk) -> Serve:
        _must_run(status, ask.container)
        specification = await self._supervisor.specification(status.name)
        until = time.monotonic() + SANDBOX_SECONDS
        while True:
            try:
                command = exec_command(
                    specification, status.pid, ask.command, terminal=ask.tty, attended=True
                )
                break
            except LookupError as error:
                if time.monotonic() > until:
                    raise CannotServe(str(error)) from None
            await asyncio.sleep(FOLLOW_SECONDS)
        return lambda stream: execution.run(stream, command, ask)

    async def _attachment(self, status: ProcessStatus, ask: AttachAsk, path: Path, held: ExitStack) -> Serve:
        _must_run(status, ask.container)
        reading = await asyncio.to_thread(PodLog, Path(status.log), LogAsk(container="", tail_lines=0))
        until = time.monotonic() + SANDBOX_SECONDS
        while True:
            try:
                client, greeting = await attaching.connect(path)
                break
            except (FileNotFoundError, ConnectionError):  # it has just begun, or it has ended
                if time.monotonic() > until:
                    raise CannotServe(f"container {ask.container!r} cannot be attached to") from None
            await asyncio.sleep(FOLLOW_SECONDS)
        held.enter_context(client)
        now = await self._supervisor.status(status.name)
        if not _same(now, status):
            raise CannotServe(f"container {ask.container!r} has ended: it is {now.state}")
        if greeting == shim.BUSY:
            raise CannotServe(f"container {ask.container!r} has {shim.MAX_CLIENTS} clients already")
        if ask.stdin and greeting != shim.OPEN:
            raise CannotServe(
                f"the standard input of container {ask.container!r} is closed: it has none, or it was for one"
                " client only (stdinOnce), which has left"
            )
        return lambda stream: attaching.run(stream, client, reading, stdin=ask.stdin)

    async def _logging(self, status: ProcessStatus, ask: LogAsk) -> Serve:
        reading = await asyncio.to_thread(PodLog, Path(status.log), ask)

        async def alive() -> bool:
            try:
                now = await self._supervisor.status(status.name)
            except Refused:  # it is known no more
                return False
            return _same(now, status) and now.state == "running"

        return lambda stream: tell(stream, reading, alive if ask.follow else None)


def _must_run(status: ProcessStatus, container: str) -> None:
    if status.state != "running":
        raise CannotServe(f"container {container!r} is not running: it is {status.state}")


def _same(now: ProcessStatus, before: ProcessStatus) -> bool:
    """Whether both are of one incarnation."""
    return (now.pid, now.start_ticks) == (before.pid, before.start_ticks)


async def tell(
    stream: execution.Peer, reading: PodLog, alive: Callable[[], Awaitable[bool]] | None = None
) -> None:
    """Send a log; with `alive`, go on with what is written while the container lives.

    Raises OSError, and whatever ends the session."""
    for data in reading.backlog():
        await stream.send(Data(channel=STDOUT, data=data))
    if alive is not None:
        hearing = asyncio.ensure_future(stream.next())  # a log is asked nothing: this ends with the session
        try:
            await _follow(stream, reading, alive, hearing)
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
    await stream.send(Exit())


async def _follow(
    stream: execution.Peer,
    reading: PodLog,
    alive: Callable[[], Awaitable[bool]],
    hearing: asyncio.Future[ToSession],
) -> None:
    looks = 0
    while not reading.done:
        lives = looks % ALIVE_LOOKS or await alive()
        looks += 1
        for data in reading.news():
            await stream.send(Data(channel=STDOUT, data=data))
        if not lives:
            return
        await asyncio.wait({hearing}, timeout=FOLLOW_SECONDS)
        if hearing.done():
            hearing.result()
            return
