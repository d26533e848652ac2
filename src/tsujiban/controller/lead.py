"""What only a leading controller does, put around the parts that do it.

With a store of its own (SQLite, held by one process) a controller always leads. Where several share a
store they elect one; the others serve the API, and send nodes on to the next controller. One that has
lost the lead ends: its supervisor starts it anew, and it stands by with nothing stale in its memory.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Coroutine

from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.leadership import Elector, FencedStore, LeadershipLost, Timing
from tsujiban.store.config import SqliteConfig
from tsujiban.store.protocol import Store
from tsujiban.wire.messages import Hello, ToNode
from tsujiban.wire.transport import StreamRefused

OnHello = Callable[[str, Hello], Awaitable[None]]
LEADS = "leads"
Send = Callable[[str, ToNode], Awaitable[bool]]


class Lead:
    """Whether this controller leads. `store` is the store as a leader may write it."""

    def __init__(self, config: ControllerConfig, store: Store) -> None:
        self.store = store
        self._elector: Elector | None = None
        if not isinstance(config.store, SqliteConfig):
            seconds = config.lease_seconds
            timing = Timing(duration=seconds, give_up=seconds * 0.7, renew=seconds * 0.2)
            identity = f"{socket.gethostname()}_{secrets.token_hex(8)}"
            self._elector = Elector(store, identity, timing)
            self.store = FencedStore(store, self._elector)

    @property
    def elects(self) -> bool:
        """Whether there may be other controllers."""
        return self._elector is not None

    def role(self) -> str:
        """For people: "" when there is no choice."""
        if self._elector is None:
            return ""
        return LEADS if self._elector.leads else f"stands by for {self._elector.holder or 'a leader'}"

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` while leading. Raises LeadershipLost."""
        if self._elector is None:
            await work()
            return
        await self._elector.acquire()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._elector.hold())
            tasks.create_task(_coroutine(work))

    async def end(self) -> None:
        """Let another lead."""
        if self._elector is not None:
            await self._elector.release()

    def only_leader(self, hello: OnHello) -> OnHello:
        """`hello` of a node, or a word where to go."""

        async def received(node: str, message: Hello) -> None:
            if self._elector is not None and not self._elector.leads:
                raise StreamRefused(f"this controller {self.role()}; try the next one")
            await hello(node, message)

        return received

    def while_leading(self, send: Send) -> Send:
        """`send`, as long as what is sent may be believed."""

        async def sent(node: str, message: ToNode) -> bool:
            if self._elector is not None and not self._elector.leads:
                return False
            return await send(node, message)

        return sent


async def end_of_lead(work: Coroutine[object, object, None]) -> None:
    """Run `work`; when it ends because the lead was lost, raise just that."""
    try:
        await work
    except BaseExceptionGroup as group:
        lost = group.subgroup(LeadershipLost)
        if lost is None:
            raise
        raise _first(lost) from None


def _first(group: BaseExceptionGroup[LeadershipLost]) -> LeadershipLost:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return LeadershipLost(f"{found}; starting anew")


async def _coroutine(work: Callable[[], Awaitable[None]]) -> None:
    await work()
