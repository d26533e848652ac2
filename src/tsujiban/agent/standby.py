"""The node's stream to a controller that it does not obey: one that stands by for the one that leads.

A client is connected to whichever controller it likes, and asks there for logs and commands of pods. So every
controller reaches every node, and none needs to lead for that, or to believe another. What such a one may do
is in the type of its messages: ask for sessions, and say which controllers there are. It is told what people
ask any controller for (how the node is, what flows); what happens while the stream is down it never hears.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import structlog

from tsujiban.agent.credentials import CredentialsError
from tsujiban.identity.rotation import retry_delay
from tsujiban.identity.tls import TlsError
from tsujiban.waiting import within
from tsujiban.wire.messages import Controllers, Flows, Hello, NodeStatus, OpenSession, ToStandby
from tsujiban.wire.outbox import Outbox, OutboxFull
from tsujiban.wire.together import first_failure
from tsujiban.wire.transport import BadMessage, ClientStandby, StreamLost, StreamRefused

log = structlog.get_logger(__name__)

LAST_RETRY = 5.0  # seconds
STABLE = 5.0  # seconds that a stream must live for the next retry to be quick again
DOUBLED_SECONDS = 60.0  # until it is looked again who is met at an address of somebody known already
OUTBOX_LIMIT = 32  # messages, from which on flow records are dropped


class _Doubled(Exception):
    """There is a stream to this controller already, by another address."""


def _nobody(_controller: str) -> bool:
    return False


class StandbyLink:
    """Keeps one such stream up, as long as it is wanted. `run` it as a task."""

    def __init__(
        self,
        dial: Callable[[], AbstractAsyncContextManager[ClientStandby]],
        hello: Callable[[], Hello],
        on_session: Callable[[OpenSession], None],
        on_told: Callable[[Controllers], None],
        met: Callable[[str], bool] = _nobody,
    ) -> None:
        """`dial` connects; `hello` makes the first message; `on_session` serves what is asked for; `on_told`
        is called with the controllers that this one knows; `met` says whether there is a stream to the
        controller of this identity already: two would end each other."""
        self.controller = ""  # the identity of whoever the stream is to, while it is up
        self._met = met
        self._dial = dial
        self._hello = hello
        self._on_session = on_session
        self._on_told = on_told
        self._wanted, self._unwanted = asyncio.Event(), asyncio.Event()
        self._outbox: Outbox[ToStandby] | None = None  # of the stream that is up
        self._status: NodeStatus | None = None
        self._wanted.set()

    def want(self, wanted: bool) -> None:
        """Whether there is to be a stream: not to the controller that the node obeys."""
        (self._wanted if wanted else self._unwanted).set()
        (self._unwanted if wanted else self._wanted).clear()

    def tell(self, message: NodeStatus | Flows) -> None:
        """Say something, if the stream is up; never waits. Each new stream begins with the newest status."""
        if isinstance(message, NodeStatus):
            self._status = message
        if self._outbox is not None:
            try:
                self._outbox.put(message)
            except OutboxFull:
                log.debug("dropped what a slow controller does not take")

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        failures = 0
        while True:
            await self._wanted.wait()
            began = time.monotonic()
            try:
                await first_failure(self._stream(), self._until_unwanted())
                continue
            except _Doubled:
                await within(self._unwanted, DOUBLED_SECONDS)
                continue
            except (StreamLost, StreamRefused, BadMessage, CredentialsError, TlsError) as error:
                log.info("no stream to a controller that stands by", reason=str(error))
            failures = 1 if time.monotonic() - began > STABLE else failures + 1
            delay = retry_delay(failures, random.random())  # noqa: S311  # jitter, not a secret
            await asyncio.sleep(min(delay, LAST_RETRY))

    async def _until_unwanted(self) -> None:
        await self._unwanted.wait()

    async def _stream(self) -> None:
        try:
            async with self._dial() as stream:
                if self._met(stream.controller):
                    raise _Doubled
                self.controller = stream.controller
                await stream.send(self._hello())
                self._outbox = Outbox(OUTBOX_LIMIT, _key, _newer)
                if self._status is not None:
                    self._outbox.put(self._status)
                await first_failure(self._read(stream), self._write(stream, self._outbox), stream.watch())
        finally:
            self._outbox = None
            self.controller = ""

    async def _read(self, stream: ClientStandby) -> None:
        while True:
            message = await stream.next()
            if isinstance(message, Controllers):
                self._on_told(message)
            else:
                self._on_session(message)

    async def _write(self, stream: ClientStandby, outbox: Outbox[ToStandby]) -> None:
        while True:
            await stream.send(await outbox.get())


def _key(message: ToStandby) -> type[NodeStatus] | None:
    return NodeStatus if isinstance(message, NodeStatus) else None


def _newer(_older: ToStandby, newer: ToStandby) -> ToStandby:
    return newer
