"""Runs what the containers of a pod ask to be done after they started and before they are stopped.

A `postStart` hook is run once for each incarnation of a container, also when the agent starts again
meanwhile; when it fails the container is ended. A `preStop` hook has the time that the pod, or the container
that is unfit, has to end, and no more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from tsujiban.agent import envfiles
from tsujiban.agent.containers import ContainerPlan
from tsujiban.agent.hooks import Hook
from tsujiban.agent.probes import Probe
from tsujiban.supervise.client import ProcessStatus, SupervisorClient

log = structlog.get_logger(__name__)

STARTED = ".started"  # ends the name of what says of which incarnation the postStart hook was run
NOT_UP = "the container is not up"
UP_SECONDS = 10.0  # for a container that has just been started
AGAIN_SECONDS = 0.05

Ask = Callable[[ContainerPlan, ProcessStatus, Probe], Awaitable[str]]  # "" is success


class PodHooks:
    """Of one pod. `ask` runs a command or request once."""

    def __init__(self, key: str, supervisor: SupervisorClient, ask: Ask) -> None:
        self._key = key
        self._supervisor = supervisor
        self._ask = ask
        self._parted: set[str] = set()
        self._late = asyncio.Event()

    def cut(self) -> None:
        """There is no time left."""
        self._late.set()

    async def after_start(self, plan: ContainerPlan, process: ProcessStatus) -> str:
        """The postStart hook; "" is success. Raises OSError."""
        if plan.hooks.post_start is None or plan.process is None:
            return ""
        incarnation = _incarnation(process)
        mark = Path(plan.process.needs + STARTED)
        if await asyncio.to_thread(envfiles.says, mark, incarnation):
            return ""
        trouble = await self._do(plan, process, plan.hooks.post_start)
        if not trouble:
            await asyncio.to_thread(envfiles.note, mark, incarnation)
        return trouble

    async def before_stop(self, plan: ContainerPlan, left: float) -> None:
        """The preStop hook of a pod that ends, once, for `left` seconds at most. Raises OSError."""
        hook, process = plan.hooks.pre_stop, plan.process
        if hook is None or process is None or left <= 0 or plan.name in self._parted:
            return
        running = [one for one in await self._supervisor.list(process.name) if one.name == process.name]
        if not running or not running[0].pid or _incarnation(running[0]) in self._parted:
            return
        self._parted.add(plan.name)  # now: a supervisor that was away is asked again
        await self._part(plan, running[0], hook, left)

    async def before_restart(self, plan: ContainerPlan, process: ProcessStatus, left: float) -> None:
        """The preStop hook of a container that is to be started again, for `left` seconds at most. When it is
        done it is not run once more if the pod ends before this incarnation has."""
        if plan.hooks.pre_stop is not None and left > 0:
            await self._part(plan, process, plan.hooks.pre_stop, left)
            self._parted.add(_incarnation(process))

    async def _part(self, plan: ContainerPlan, process: ProcessStatus, hook: Hook, left: float) -> None:
        done = asyncio.create_task(self._do(plan, process, hook))
        late = asyncio.create_task(self._late.wait())
        try:
            await asyncio.wait({done, late}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            trouble = done.result() if done.done() else "it has taken all the time that there was"
        finally:
            for task in (done, late):
                task.cancel()
            await asyncio.gather(done, late, return_exceptions=True)
        if trouble:
            log.warning("preStop hook failed", pod=self._key, container=plan.name, reason=trouble)

    async def _do(self, plan: ContainerPlan, process: ProcessStatus, hook: Hook) -> str:
        if hook.probe is None:
            await asyncio.sleep(hook.sleep)
            return ""
        until = time.monotonic() + UP_SECONDS
        while True:
            try:
                trouble = await self._ask(plan, process, hook.probe)
            except OSError as error:
                return str(error)
            if trouble != NOT_UP or time.monotonic() > until:
                return trouble
            await asyncio.sleep(AGAIN_SECONDS)


def _incarnation(process: ProcessStatus) -> str:
    return f"{process.pid} {process.start_ticks}"
