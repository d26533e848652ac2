"""Runs what a container asks for when it has started, then its probes, and keeps what they say.

Until a container has passed once it is asked ten times a second, whatever its period: nobody
gains by learning late that it is up. After that its own period counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tsujiban.agent.containers import ContainerPlan
from tsujiban.agent.probes import Probe, Tally

EAGER_SECONDS = 0.1

Ask = Callable[[Probe], Awaitable[str]]  # "" is success
Fail = Callable[[str, float | None], Awaitable[None]]  # why, and the time to end that the probe names, if any


class ContainerProbes:
    """One incarnation of one container. `changed` is called when `ready` or `started` changes, `fail` when it
    must end."""

    def __init__(
        self,
        plan: ContainerPlan,
        ask: Ask,
        changed: Callable[[], None],
        fail: Fail,
        begin: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        """`begin` is what must be done before anything else; "" is success."""
        self._begin = begin
        self.started = plan.startup is None and begin is None
        self.ready = self.started and plan.readiness is None
        self.trouble = ""
        self._plan = plan
        self._ask = ask
        self._changed = changed
        self._fail = fail
        self._task = asyncio.create_task(self._run(), name=f"probes of {plan.name}")

    def stop(self) -> None:
        """The container has ended, or is about to."""
        self._task.cancel()

    async def _run(self) -> None:
        if self._begin is not None and (trouble := await _answer(self._begin())):
            await self._fail(f"postStart hook: {trouble}", None)
            return
        if self._plan.startup is not None and not await self._start_up(self._plan.startup):
            return
        if not self.started:
            self.started = True
            self._changed()
        async with asyncio.TaskGroup() as tasks:
            if self._plan.readiness is not None:
                tasks.create_task(self._readiness(self._plan.readiness))
            else:
                self._set_ready(True)
            if self._plan.liveness is not None:
                tasks.create_task(self._liveness(self._plan.liveness))

    async def _start_up(self, probe: Probe) -> bool:
        await asyncio.sleep(probe.initial_delay)
        tally = Tally(probe, passing=False)
        deadline = asyncio.get_running_loop().time() + probe.period * probe.failure_threshold
        while not tally.add(not await self._once(probe)):
            if asyncio.get_running_loop().time() > deadline:
                await self._fail(f"startup probe: {self.trouble}", probe.grace)
                return False
            await asyncio.sleep(EAGER_SECONDS)
        return True

    async def _readiness(self, probe: Probe) -> None:
        await asyncio.sleep(probe.initial_delay)
        tally = Tally(probe)
        passed = False
        while True:
            self._set_ready(tally.add(not await self._once(probe)))
            passed = passed or self.ready
            await asyncio.sleep(probe.period if passed else min(EAGER_SECONDS, probe.period))

    async def _liveness(self, probe: Probe) -> None:
        tally = Tally(probe, passing=True)
        delay = probe.initial_delay
        alive = True
        while alive:
            await asyncio.sleep(delay)
            alive = tally.add(not await self._once(probe))
            delay = probe.period
        await self._fail(f"liveness probe: {self.trouble}", probe.grace)

    async def _once(self, probe: Probe) -> str:
        self.trouble = await _answer(self._ask(probe))
        return self.trouble

    def _set_ready(self, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            self._changed()


async def _answer(asking: Awaitable[str]) -> str:
    """What could not even be asked (there is no room for a process, or the disk is full) has failed: the next
    may succeed."""
    try:
        return await asking
    except OSError as error:
        return str(error) or type(error).__name__
