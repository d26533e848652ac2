"""Brings a revision into force on both posts of this node, then says so.

The order is the promise: a revision is acknowledged only after the kernel's transaction has been
committed and every connected proxy has accepted its part, and the connections that became illegal
have been ended. Work never piles up: deltas that arrive meanwhile are folded in and enforced together.
What could not be enforced is tried again, all of it, until it can.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from tsujiban.agent.merge import endangered, touched
from tsujiban.policy.program import NodeDelta, NodeState
from tsujiban.waiting import within
from tsujiban.wire.messages import Enforced

log = structlog.get_logger(__name__)


RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Post(Protocol):
    """One of the places where policy is enforced, or something else that follows the node's state."""

    name: str

    async def enforce(self, state: NodeState, endpoints: set[str] | None) -> Sequence[str]:
        """Make `state` true for `endpoints` (None: all). Returns what is wrong; () is well."""


class Enforcer:
    """Runs the posts, in order, for each new state. `acknowledge` gets the outcome.

    The first post is the kernel: what it holds is in force for everything that may begin now. It looks at the
    whole state anyway, and at connections of those endpoints of which some may have become illegal."""

    def __init__(self, posts: Sequence[Post], acknowledge: Callable[[Enforced], Awaitable[None]]) -> None:
        self.state = NodeState()
        self.enforced = 0
        self.problems: tuple[str, ...] = ()
        self._posts = posts
        self._acknowledge = acknowledge
        self._waiting: list[NodeDelta] = []
        self._dirty = asyncio.Event()
        self._done = asyncio.Condition()
        self._held = False  # whether the first post has the state as it is
        self._failures = 0  # in a row
        self._stale = False  # something beside the state has changed

    def take(self, delta: NodeDelta) -> None:
        """Queue a delta. Deltas must come in the order in which they were sent."""
        self._waiting.append(delta)
        self._dirty.set()

    def refresh(self) -> None:
        """Enforce the same state again: the posts have been told something else that matters."""
        self._stale = True
        self._dirty.set()

    async def until(self, test: Callable[[NodeState], bool]) -> None:
        """Wait until a state that passes `test` is in force in the kernel."""
        async with self._done:
            await self._done.wait_for(lambda: self._held and not self._waiting and test(self.state))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            again = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS)) - 1] if self._failures else None
            await within(self._dirty, again)
            self._dirty.clear()
            deltas, self._waiting = self._waiting, []
            if deltas or self._failures or self._stale:
                await self._enforce(deltas)

    async def _enforce(self, deltas: list[NodeDelta]) -> None:
        begun = time.perf_counter()
        self._held = False
        for delta in deltas:
            self.state.apply(delta)
        anew = bool(self._failures) or self._stale
        endpoints = None if anew else touched(self.state, deltas)
        judged = None if anew else endangered(self.state, deltas)
        self._stale = False
        problems: list[str] = []
        for number, post in enumerate(self._posts):
            found = await post.enforce(self.state, endpoints if number else judged)
            problems += [f"{post.name}: {problem}" for problem in found]
            if not self._held and not problems:
                self._held = True
                async with self._done:
                    self._done.notify_all()
        took = int((time.perf_counter() - begun) * 1e6)
        self.problems = tuple(problems)
        if problems:
            self._failures += 1
            log.error("not enforced", revision=self.state.revision, problems=problems)
        else:
            self._failures = 0
            self.enforced = self.state.revision
        await self._acknowledge(Enforced(revision=self.state.revision, took_us=took, problems=self.problems))
