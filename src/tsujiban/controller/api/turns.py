"""Requests have their turn: how many are worked on at once, and that nobody keeps the others from theirs.

Administrators wait for nobody, and neither do sessions into pods, which `crowds` counts (of a watch, and of
flows that are followed, the beginning is a request like any other). Everybody else is in one of three levels,
each with seats of its own, so that a flood in one is not felt in the others: nodes; leases, by which leaders
are known to be alive; and all other work.

A seat is taken until the answer is made; sending it is the connection's business.

Source: Kubernetes documentation, "API Priority and Fairness".
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.errors import too_many
from tsujiban.controller.api.fairqueue import Bounds, FairQueue, Full, Ticket
from tsujiban.controller.api.users import MASTERS, User

WAIT_SECONDS = 15.0  # in a queue
EXEMPT, NODES, LEASES, WORK = "exempt", "node-high", "leader-election", "workload"
LEVELS = {
    NODES: Bounds(seats=32, of_flow=8, waiting_of_flow=64, waiting=1024),
    LEASES: Bounds(seats=16, of_flow=4, waiting_of_flow=16, waiting=512),
    WORK: Bounds(seats=128, of_flow=16, waiting_of_flow=64, waiting=1024),
}
_WIDE = {"list": 2, "deletecollection": 4, "apply": 8}  # seats of what takes more work than one object does


class Turns:
    """Who may go on. `rejected` counts by level and reason, `dispatched` by level."""

    def __init__(self, levels: Mapping[str, Bounds] | None = None) -> None:
        self.queues = {name: FairQueue(bounds) for name, bounds in (levels or LEVELS).items()}
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.dispatched: Counter[str] = Counter()
        self._called: dict[Ticket, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def turn(self, user: User, wanted: Attributes) -> AsyncIterator[None]:
        """Inside it is the request's turn.

        Raises:
            ApiError: 429, there is no room to wait in, or the turn did not come in time.
        """
        level = level_of(user, wanted)
        queue = self.queues.get(level)
        if queue is None:
            yield
            return
        try:
            ticket = queue.ask(user.name, _WIDE.get(wanted.verb, 1))
        except Full as full:
            self.rejected[level, "queue-full"] += 1
            if full.whose == "flow":
                raise too_many(f"user {user.name!r} has too many requests waiting; try again later") from None
            raise too_many("too many requests are waiting; try again later") from None
        try:
            self._call(level, queue)
            if not ticket.running:
                await self._called_up(level, user, ticket)
            yield
        finally:
            self._called.pop(ticket, None)
            queue.leave(ticket)
            self._call(level, queue)

    async def _called_up(self, level: str, user: User, ticket: Ticket) -> None:
        called = self._called[ticket] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await called
        except TimeoutError:
            self.rejected[level, "time-out"] += 1
            message = f"the server is busy: the request of {user.name!r} has waited for {WAIT_SECONDS:g} s"
            raise too_many(f"{message}; try again later") from None

    def _call(self, level: str, queue: FairQueue) -> None:
        while (ticket := queue.next()) is not None:
            self.dispatched[level] += 1
            called = self._called.get(ticket)
            if called is not None and not called.done():
                called.set_result(None)


def level_of(user: User, wanted: Attributes) -> str:
    """Where a request queues."""
    if MASTERS in user.groups or (wanted.long_running and not wanted.follows):
        return EXEMPT
    if user.node:
        return NODES
    if (wanted.group, wanted.resource) == ("coordination.k8s.io", "leases") and wanted.name:
        return LEASES
    return WORK
