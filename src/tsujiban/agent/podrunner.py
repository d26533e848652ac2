"""One pod of this node: brought up, followed, and taken down.

It comes up in an order that fails closed: its policy is in force before its interface exists, its
proxy serves before its containers run. The processes are the supervisor's, so an agent that starts
again walks through the same steps and finds them done.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog

from tsujiban.agent import containers, envfiles, probes
from tsujiban.agent.containers import ContainerPlan, Place, Stage
from tsujiban.agent.enforcer import Enforcer
from tsujiban.agent.objects import ConfigError, NotKnown
from tsujiban.agent.podhooks import NOT_UP, PodHooks
from tsujiban.agent.podprobes import ContainerProbes
from tsujiban.agent.podstatus import ContainerView, is_ready, pod_status
from tsujiban.agent.podtokens import AskToken, PodToken, renewed, wants_token
from tsujiban.agent.proxies import Proxies
from tsujiban.agent.sandbox import exec_command
from tsujiban.agent.volumetokens import VolumeTokens
from tsujiban.kernel.nft import NftError
from tsujiban.network import links
from tsujiban.network.namespaces import NamespaceError
from tsujiban.resources.kinds.core import Pod
from tsujiban.resources.load import decode
from tsujiban.supervise.client import ProcessStatus, Refused, SupervisorClient, SupervisorGone
from tsujiban.supervise.spec import ProcessSpec
from tsujiban.waiting import within
from tsujiban.wire.messages import PodStatus
from tsujiban.wire.together import all_ended

log = structlog.get_logger(__name__)

HOLD_SECONDS = 5.0
AFTER_HOOKS_SECONDS = 2.0  # that a container has after a hook that took all its time
UNSETTLED_SECONDS = 0.05
LOOK_AGAIN_SECONDS = 1.0
FINISHED = ("Succeeded", "Failed")
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
Report = Callable[[PodStatus], None]


class PodRunner:
    """One pod. `run` until cancelled, then `end`."""

    def __init__(
        self,
        key: str,
        raw: dict[str, Any],
        place: Place,
        enforcer: Enforcer,
        mesh: Proxies,
        supervisor: SupervisorClient,
        report: Report,
        ask_token: AskToken | None = None,
    ) -> None:
        self._ask_token = ask_token
        self.key = key
        self.pod: Pod = decode(raw)  # type: ignore[assignment]  # of kind Pod: the controller sends no other
        self._raw = raw
        self._place = place
        self._enforcer = enforcer
        self._mesh = mesh
        self._supervisor = supervisor
        self._report = report
        self._plans = containers.plan(self.pod, place)
        self._token = self._token_files()
        self._tokens = self._volume_tokens()
        self.made_of = frozenset(
            (plural, f"{self.pod.metadata.namespace}/{name}") for plural, name in containers.named(self.pod)
        )  # the objects of its volumes and variables, as (plural, namespace/name)
        self._initialized = not any(plan.stage is not Stage.MAIN for plan in self._plans)
        self._hooks = PodHooks(key, supervisor, self._ask)
        self._ends: dict[str, tuple[tuple[float, bool], str]] = {}  # which was read, and the words
        self._waiting: dict[str, ConfigError] = {}  # containers that cannot be made now, and why
        self._described = self.pod  # with the labels and annotations that it has now
        self._probes: dict[str, ContainerProbes] = {}
        self._changed = asyncio.Event()
        self._retry = asyncio.Event()
        self._stale = False
        self._retired = False
        self._started_at = time.time()
        self._trouble = ""
        self._last: bytes = b""
        self._kill_at = math.inf  # monotonic: when what is still there of a pod that ends is killed
        self._hurried = asyncio.Event()
        self._over = raw["status"].get("phase") in FINISHED  # it ran, and must not run again
        self._hold_until = time.monotonic() + HOLD_SECONDS if is_ready(raw) else 0.0

    @property
    def uid(self) -> str:
        """The pod's UID."""
        return self.pod.metadata.uid

    @property
    def netns_path(self) -> str:
        """Path of the pod's network namespace."""
        return containers.sandbox_of(self.pod, self._place).netns_path

    def shim_socket(self, container: str) -> Path:
        """Where a container of the pod is attached to."""
        return containers.sandbox_of(self.pod, self._place).shim_socket(container)

    @property
    def _prefix(self) -> str:
        """What the supervisor's names of the pod's processes start with."""
        return containers.pod_prefix(self._place.node, self.uid)

    @property
    def _grace(self) -> float:
        """Seconds that the pod has to end."""
        return max((plan.process.grace for plan in self._plans if plan.process is not None), default=0.0)

    def follows(self, other: PodRunner) -> bool:
        """Whether the other one must have ended before this one may begin: they share name or address."""
        return self.key == other.key or not set(self._place.addresses).isdisjoint(other._place.addresses)

    @property
    def raw(self) -> bytes:
        """The pod as the controller sent it."""
        return msgspec.json.encode(self._raw)

    def poke(self) -> None:
        """Something about the pod may have changed."""
        self._changed.set()

    def report_again(self) -> None:
        """The controller may have missed what was said."""
        self._last = b""
        self.poke()

    def repeat(self) -> None:
        """Say the last thing once more: what has come to differ from it, whoever wrote that, is put right."""
        if self._last:
            self._report(PodStatus(pod=self.key, uid=self.uid, status=self._last))

    def describe(self, raw: dict[str, Any]) -> None:
        """The pod as it is now: files that tell its labels or annotations follow, and so do variables, when a
        container is started again."""
        now: Pod = decode(raw)  # type: ignore[assignment]  # of kind Pod, as above
        before = self._described.metadata
        if (before.labels, before.annotations) != (now.metadata.labels, now.metadata.annotations):
            self._described = msgspec.structs.replace(
                self.pod,
                metadata=msgspec.structs.replace(
                    self.pod.metadata, labels=now.metadata.labels, annotations=now.metadata.annotations
                ),
            )
            self.refresh()

    def refresh(self) -> None:
        """Something that the pod's files and variables are made of has changed, or a container has ended:
        the next is to have what is true then."""
        self._stale = True
        self._retry.set()
        self.poke()

    async def run(self) -> None:
        """Bring the pod up, then follow it. Until cancelled."""
        failures = 0
        if not any(plan.process for plan in self._plans):
            await self._tell()  # why: its policy, for which `_start` waits, may never come
        while not self._over:
            try:
                await self._start()
                break
            except (OSError, ConfigError, NamespaceError, NftError, Refused) as error:
                self._trouble = str(error) or type(error).__name__
                log.warning("pod cannot start", pod=self.key, reason=self._trouble)
                await self._tell()
                await self._rest(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
        self._trouble = ""
        async with renewed(self._token, self._tokens):
            await self._follow()

    def _token_files(self) -> PodToken | None:
        if self._ask_token is None or not wants_token(self.pod):
            return None
        directory = containers.sandbox_of(self.pod, self._place).directory
        return PodToken(self.key, self.pod, directory, self._place, self._ask_token)

    def _volume_tokens(self) -> VolumeTokens | None:
        if self._ask_token is None:
            return None
        try:
            where = containers.volumes_of(self.pod, self._place)
            return VolumeTokens(self.key, self.pod, where, self._ask_token, self.refresh)
        except ConfigError:  # which its containers' plans tell
            return None

    async def _follow(self) -> None:
        while True:
            self._changed.clear()
            if self._stale or not self._initialized:
                await self._renew()
            again = await self._tell()
            if self._stale:
                again = LOOK_AGAIN_SECONDS
            await within(self._changed, again)

    async def _tell(self) -> float | None:
        """Report what there is; how soon to look again though no event tells, seconds."""
        try:
            return None if await self._say() else UNSETTLED_SECONDS
        except (OSError, Refused) as error:  # the supervisor is gone; what runs goes on
            log.warning("pod cannot be looked at", pod=self.key, reason=str(error))
            return LOOK_AGAIN_SECONDS

    async def _rest(self, seconds: float) -> None:
        """Wait before the next attempt, unless something changes that it may have failed for."""
        self._retry.clear()
        await within(self._retry, seconds)

    async def _renew(self) -> None:
        stale, self._stale = self._stale, False
        if self._over or self._retired:
            return
        if stale:
            try:
                await asyncio.to_thread(self._make_volumes)
            except (OSError, ConfigError, NamespaceError) as error:
                log.warning("volumes not renewed", pod=self.key, reason=str(error))
        try:
            await self._begin()
        except (OSError, Refused) as error:
            log.warning("containers not renewed", pod=self.key, reason=str(error))
            self._stale = True

    def hurry(self, seconds: float | None) -> None:
        """Give the containers no longer than this from now to end; None: as long as they have."""
        if seconds is not None:
            self._kill_at = min(self._kill_at, time.monotonic() + seconds)
            self._hurried.set()

    async def end(self) -> None:
        """Stop everything of the pod, and remove what it had. May be repeated."""
        for running in self._probes.values():
            running.stop()
        names = [plan.process.name for plan in self._plans if plan.process is not None]
        if any(plan.hooks.pre_stop for plan in self._plans):
            self.hurry(self._grace + AFTER_HOOKS_SECONDS)
        aside = [asyncio.create_task(self._kill_late(names)), asyncio.create_task(self._mesh.part(self.key))]
        over = time.monotonic() + self._grace
        try:
            await all_ended(
                *(self._stop(plan, over) for plan in self._plans if plan.stage is not Stage.SIDECAR)
            )
            for plan in reversed(self._plans):
                if plan.stage is Stage.SIDECAR:
                    await self._stop(plan, over)
        finally:
            for task in aside:
                task.cancel()
        await self._mesh.flush(
            self.key, self.pod, self._place, lambda: min(over, self._kill_at) - time.monotonic()
        )
        await self._mesh.leave(self.key, self.pod, self._place)
        await asyncio.to_thread(self._remove)

    async def _stop(self, plan: ContainerPlan, over: float) -> None:
        """Stop a container, after what it asks to be done before that."""
        if plan.process is not None:
            await self._hooks.before_stop(plan, min(over, self._kill_at) - time.monotonic())
            await self._supervisor.stop(plan.process.name, forget_log=True)

    # ------------------------------------------------------------ up

    async def _start(self) -> None:
        await self._enforcer.until(
            lambda state: (
                self.key in state.endpoints and state.endpoints[self.key].addresses == self._place.addresses
            )
        )
        program = self._enforcer.state.endpoints[self.key]
        if self._tokens is not None:
            await self._tokens.ensure()
        await asyncio.to_thread(self._prepare)
        if self._token is not None:
            await self._token.ensure()
        await self._mesh.join(self.key, self.pod, self._place, program)
        await self._begin()

    async def _begin(self) -> None:
        """Start the containers that can be made and whose turn it is; note why others cannot be. May be
        repeated."""
        if not self._initialized:
            known = {one.name for one in await self._supervisor.list(self._prefix)}
            self._initialized = any(
                plan.stage is Stage.MAIN and plan.process is not None and plan.process.name in known
                for plan in self._plans
            )
        for plan in self._plans:
            if self._initialized and plan.stage is Stage.INIT:
                continue
            process = plan.process
            started = None
            if process is not None and await self._give(plan.name, Path(process.needs)):
                started = await self._ensure(process)
            if self._initialized or plan.stage is Stage.MAIN:
                continue
            if started is None or not self._view(plan, {started.name: started}).passed:
                return  # the others wait for it
        self._initialized = True

    async def _ensure(self, process: ProcessSpec) -> ProcessStatus:
        """Start a container, once. A pod's containers never change: if another version of the agent would
        start one differently, what runs goes on, what is over stays over, and the next start is the new way.
        """
        try:
            return await self._supervisor.start(process, later=True)
        except Refused:  # by a supervisor that has run since before there was `later`
            for one in await self._supervisor.list(process.name):
                if one.name == process.name:
                    return one
            raise

    async def _give(self, container: str, where: Path) -> bool:
        """Write what a container finds when it starts; whether it may start. Raises OSError."""
        services = self._enforcer.state.services.values()
        try:
            argv, variables = containers.given(self._described, container, self._place, services)
        except ConfigError as error:
            if isinstance(error, NotKnown) and await asyncio.to_thread(where.exists):
                return True  # an agent that has just begun knows less than the one before it
            self._waiting[container] = error
            await asyncio.to_thread(envfiles.remove, where)
            return False
        await asyncio.to_thread(envfiles.write, where, argv, variables)
        self._waiting.pop(container, None)
        return True

    async def _retire(self) -> None:
        """The pod has run to its end: nothing of it uses its address from now on. Its logs stay.

        Before the controller hears of the end, for it gives the address to another pod then."""
        if self._retired:
            return
        over = time.monotonic() + self._grace
        for plan in reversed(self._plans):
            if plan.stage is Stage.SIDECAR and plan.process is not None:
                await self._end_for_good(plan.process, over)
        await self._mesh.flush(self.key, self.pod, self._place, lambda: over - time.monotonic())
        await self._mesh.leave(self.key, self.pod, self._place)
        await asyncio.to_thread(links.delete, self.uid)
        self._retired = True

    async def _end_for_good(self, process: ProcessSpec, over: float) -> None:
        """End what would be started again, and keep its log: without what it needs it stays as it is."""
        await asyncio.to_thread(envfiles.remove, Path(process.needs))
        number = process.stop_signal
        while any(one.name == process.name and one.pid for one in await self._supervisor.list(process.name)):
            if number:
                with contextlib.suppress(Refused):  # it has ended by itself
                    await self._supervisor.kill(process.name, number)
            number = 0 if time.monotonic() < over else signal.SIGKILL
            await asyncio.sleep(UNSETTLED_SECONDS)

    def _make_volumes(self) -> None:
        tokens = self._tokens.tokens if self._tokens is not None else {}
        containers.prepare(self._described, self._place, tokens)

    def _prepare(self) -> None:
        self._make_volumes()
        sandbox = containers.sandbox_of(self.pod, self._place)
        link = links.PodLink(uid=self.uid, namespace=sandbox.netns, addresses=self._place.addresses)
        links.add(link)

    def _remove(self) -> None:
        links.delete(self.uid)
        containers.sandbox_of(self.pod, self._place).remove()
        self._place.groups.remove(self._place.cluster, self.uid)

    # ------------------------------------------------------------ what is said of it

    async def _say(self) -> bool:
        """Report, if there is news; False when a proxy is awaited, of which no event tells."""
        processes = {status.name: status for status in await self._supervisor.list(self._prefix)}
        for plan in self._plans:
            await self._hear_last_words(plan, processes)
        views = [self._view(plan, processes) for plan in self._plans]
        if self._over:
            await self._retire()  # also when an agent before this one died over it
            return True
        sidecar = self._mesh.serves(self.key, processes)
        if self._holding(views, sidecar):
            return False
        status = pod_status(
            self._raw,
            views,
            host_ip=self._place.host_ip,
            started_at=self._started_at,
            sidecar=sidecar,
            initialized=self._initialized,
            unlimited=sorted({name for plan in self._plans if plan.group for name in plan.group.lacking}),
        )
        if self._trouble:
            status["message"] = self._trouble
        if status["phase"] in FINISHED:
            await self._retire()
        encoded = msgspec.json.encode(status)
        if encoded != self._last:
            self._last = encoded
            self.repeat()
        return sidecar is not False

    def _holding(self, views: list[ContainerView], sidecar: bool | None) -> bool:
        """Whether to say nothing yet: an agent that has just been restarted knows less of a ready pod
        than the controller does, until it has asked."""
        if self._trouble or time.monotonic() > self._hold_until:
            return False
        if sidecar is not False and all(view.ready for view in views):
            self._hold_until = 0.0
            return False
        return True

    def _view(self, plan: ContainerPlan, processes: dict[str, ProcessStatus]) -> ContainerView:
        process = processes.get(plan.process.name) if plan.process is not None else None
        waiting = self._waiting.get(plan.name)
        reason, message = (waiting.reason, str(waiting)) if waiting else (plan.reason, plan.message)
        if process is None or plan.process is None:
            return ContainerView(
                plan.name, plan.image, "waiting", reason=reason, message=message, stage=plan.stage
            )
        running = process.state == "running"
        probing = self._probe(plan, process) if running and plan.stage is not Stage.INIT else None
        if not running:
            self._stop_probes(plan.name)
        done = plan.stage is Stage.INIT and process.state == "exited" and process.last_exit == 0
        over = plan.stage is Stage.SIDECAR and self._retired
        return ContainerView(
            plan.name,
            plan.image,
            "exited" if over and process.state == "backoff" else process.state,
            ready=done or (probing is not None and probing.ready),
            restarts=process.restarts,
            started_at=process.started_at,
            ended_at=process.exited_at,
            last_started_at=process.last_started_at,
            last_words=self._ends[plan.name][1] if plan.name in self._ends else "",
            last_oom=process.last_oom,
            exit_code=process.last_exit,
            reason=reason,
            message=message,
            stage=plan.stage,
            started=probing is not None and probing.started,
        )

    async def _hear_last_words(self, plan: ContainerPlan, processes: dict[str, ProcessStatus]) -> None:
        """Of the incarnation that has ended last; read once, for this is asked at every look."""
        process = processes.get(plan.process.name) if plan.process is not None else None
        if plan.last_words is None or process is None or process.last_exit is None:
            return
        running = process.state == "running"
        end = process.exited_at, running
        if plan.name not in self._ends or self._ends[plan.name][0] != end:
            said = await asyncio.to_thread(
                plan.last_words.of,
                ended_at=process.exited_at,
                exit_code=process.last_exit,
                running=running,
                log=Path(process.log),
            )
            self._ends[plan.name] = end, said

    def _probe(self, plan: ContainerPlan, process: ProcessStatus) -> ContainerProbes:
        incarnation = f"{plan.name} {process.pid} {process.start_ticks}"
        if incarnation not in self._probes:
            self._stop_probes(plan.name)
            self._probes[incarnation] = ContainerProbes(
                plan,
                lambda probe: self._ask(plan, process, probe),
                self.poke,
                partial(self._restart, plan, process),
                partial(self._hooks.after_start, plan, process) if plan.hooks.post_start else None,
            )
        return self._probes[incarnation]

    async def _restart(
        self, plan: ContainerPlan, process: ProcessStatus, why: str, grace: float | None
    ) -> None:
        """End a container that is unfit, as gently as its pod would; the supervisor starts it again.

        Cut off when it has ended."""
        if plan.process is None:
            return
        log.warning("container ended", pod=self.key, process=process.name, reason=why)
        over = time.monotonic() + (plan.process.grace if grace is None else grace)
        await self._hooks.before_restart(plan, process, over - time.monotonic())
        over = max(over, time.monotonic() + AFTER_HOOKS_SECONDS)
        try:
            await self._supervisor.kill(process.name, plan.process.stop_signal)
        except (SupervisorGone, Refused) as error:
            log.warning("container not signalled", pod=self.key, process=process.name, reason=str(error))
        await asyncio.sleep(over - time.monotonic())
        await self._kill(process.name, "its time to end is over")

    def _stop_probes(self, container: str) -> None:
        for incarnation in [key for key in self._probes if key.partition(" ")[0] == container]:
            self._probes.pop(incarnation).stop()

    async def _ask(self, plan: ContainerPlan, process: ProcessStatus, probe: probes.Probe) -> str:
        command = None
        if probe.command and plan.process is not None:
            try:
                command = exec_command(plan.process, process.pid, probe.command)
            except LookupError:
                return NOT_UP
        return await probes.run(probe, containers.sandbox_of(self.pod, self._place).netns_path, command)

    async def _kill_late(self, names: list[str]) -> None:
        while (left := self._kill_at - time.monotonic()) > 0:
            self._hurried.clear()
            await within(self._hurried, None if left == math.inf else left)
        self._hooks.cut()
        for name in names:
            await self._kill(name, "its time to end is over")

    async def _kill(self, name: str, why: str) -> None:
        log.warning("container killed", pod=self.key, process=name, reason=why)
        try:
            await self._supervisor.kill(name, signal.SIGKILL)
        except (SupervisorGone, Refused) as error:
            log.warning("container not killed", pod=self.key, process=name, reason=str(error))
