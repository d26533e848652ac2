"""`pods/exec` and `pods/attach`: a client's channels joined to a session on the pod's node."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog
from starlette.datastructures import QueryParams
from starlette.responses import Response

from tsujiban.controller.api import podlogs, pods, portforward, query
from tsujiban.controller.api.channels import (
    V4,
    V5,
    Channels,
    ClientLost,
    SpdyChannels,
    WebSocketChannels,
    exit_status,
)
from tsujiban.controller.api.dispatch import CONNECT, Call, Subresource, Table
from tsujiban.controller.api.errors import bad_request
from tsujiban.controller.api.upgrade import Chosen, Pipe, ServerEnds, Upgraded, negotiate
from tsujiban.controller.sessions import Session, Sessions
from tsujiban.wire.sessions import STDERR, STDOUT, Asks, AttachAsk, Data, ExecAsk, Exit, LogAsk
from tsujiban.wire.transport import StreamLost

log = structlog.get_logger(__name__)

MAX_WORDS = 4096  # of a command
MAX_COMMAND = 256 * 1024  # characters of a command


def register(table: Table, sessions: Sessions) -> None:
    """Serve the streaming subresources of pods."""

    def pod(name: str, handler: Any, kind: str, verbs: Any = CONNECT) -> Subresource:
        served = partial(handler, sessions)
        return Subresource(group="", plural="pods", name=name, verbs=verbs, handler=served, kind=kind)

    table.add(
        pod("log", podlogs.log, "Pod", {"GET": "get"}),
        pod("exec", execute, "PodExecOptions"),
        pod("attach", attach, "PodAttachOptions"),
        pod("portforward", portforward.forward, "PodPortForwardOptions"),
    )


async def execute(sessions: Sessions, call: Call) -> Response:
    """Run a command in a container."""
    wanted = _Streams(call.request.query_params)
    command = tuple(call.request.query_params.getlist("command"))
    if not command or not command[0]:
        raise bad_request("you must specify at least one command for the container")
    if len(command) > MAX_WORDS or sum(len(word) for word in command) > MAX_COMMAND:
        raise bad_request("the command is too long")
    if any("\0" in word for word in command):
        raise bad_request("the command holds a NUL character")
    pod = await pods.find(call)
    pod.must_run()
    container = pod.container(call.request.query_params.get("container", ""))
    ask = ExecAsk(container=container, command=command, stdin=wanted.stdin, tty=wanted.tty)
    return await _join(sessions, call, pod, ask, wanted)


async def attach(sessions: Sessions, call: Call) -> Response:
    """What a container says from now on, and to what it was made with: its standard input, its terminal."""
    wanted = _Streams(call.request.query_params)
    pod = await pods.find(call)
    pod.must_run()
    container = pod.container(call.request.query_params.get("container", ""))
    if wanted.stdin and not pod.has_stdin(container):
        raise bad_request(
            f"container {container} has no standard input to attach to: it was made without `stdin: true`."
            " Leave -i out, or run a command in it with `kubectl exec -i`"
        )
    ask: Asks = LogAsk(container=container, follow=True, tail_lines=0)
    if pod.has_stdin(container) or pod.has_terminal(container):
        ask = AttachAsk(container=container, stdin=wanted.stdin)
    return await _join(sessions, call, pod, ask, wanted)


class _Streams:
    """Which streams a client wants (PodExecOptions)."""

    def __init__(self, parameters: QueryParams) -> None:
        self.stdin = query.flag(parameters, "stdin")
        self.stdout = query.flag(parameters, "stdout")
        self.tty = query.flag(parameters, "tty")
        self.stderr = query.flag(parameters, "stderr") and not self.tty
        if not (self.stdin or self.stdout or self.stderr):
            raise bad_request("one of stdin, stdout, stderr must be given")

    def types(self) -> frozenset[str]:
        """The stream types that a SPDY client opens."""
        flags = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr, "resize": self.tty}
        return frozenset({"error", *(name for name, given in flags.items() if given)})

    def told(self) -> frozenset[int]:
        """The channels on which it hears."""
        return frozenset(
            channel for channel, given in ((STDOUT, self.stdout), (STDERR, self.stderr)) if given
        )


async def _join(sessions: Sessions, call: Call, pod: pods.Pod, ask: Asks, wanted: _Streams) -> Response:
    chosen = negotiate(call.request, websocket=(V5, V4), spdy=(V4,))
    stack = AsyncExitStack()
    session = await stack.enter_async_context(pods.session(sessions, pod, ask))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pipe = Pipe(reader, writer, websocket=chosen.websocket)
        async with stack:
            try:
                await relay(_channels(pipe, chosen, wanted), session, wanted.told())
            except ClientLost as error:
                log.info("a client has left", pod=pod.ref.key, user=call.user.name, reason=str(error))
                return
            finally:
                if isinstance(reader.exception(), ServerEnds):
                    session.abandon()
            await pipe.linger()

    return Upgraded(chosen, serve)


def _channels(pipe: Pipe, chosen: Chosen, wanted: _Streams) -> Channels:
    if chosen.websocket:
        return WebSocketChannels(pipe, chosen.protocol)
    return SpdyChannels(pipe, wanted.types())


async def relay(channels: Channels, session: Session, told: frozenset[int]) -> None:
    """Join both until the command has ended, of which the client is told. Raises ClientLost."""
    hearing = asyncio.ensure_future(_hear(channels, session))
    telling = asyncio.ensure_future(_tell(channels, session, told))
    try:
        either: set[asyncio.Future[None]] = {hearing, telling}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not telling.done():
            hearing.result()
            raise ClientLost("it hung up")
        try:
            telling.result()
        except ConnectionError as error:
            raise ClientLost(str(error)) from None
    finally:
        for task in (hearing, telling):
            task.cancel()
        await asyncio.gather(hearing, telling, return_exceptions=True)


async def _hear(channels: Channels, session: Session) -> None:
    """What the client sends. When the node is lost, `_tell` says so."""
    async for frame in channels.hear():
        try:
            await session.send(frame)
        except StreamLost:
            continue


async def _tell(channels: Channels, session: Session, told: frozenset[int]) -> None:
    status = exit_status(1, "the node sent no exit status")
    try:
        while not isinstance(frame := await session.receive(), Exit):
            if isinstance(frame, Data) and frame.channel in told:
                await channels.tell(frame.channel, frame.data)
        status = exit_status(frame.code, frame.error)
    except StreamLost as error:
        status = exit_status(1, str(error))
    await channels.finish(status)
