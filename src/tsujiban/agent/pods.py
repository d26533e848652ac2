"""Runs the pods that the controller has bound to this node.

One task per pod brings it up in an order that fails closed: its policy is in force before its
interface exists, its proxy serves before its containers run. The processes are the supervisor's,
so an agent that starts again walks through the same steps and finds them done.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import msgspec
import structlog

from tsujiban.agent import containers, probes
from tsujiban.agent.config import AgentConfig
from tsujiban.agent.containers import ContainerPlan, Place
from tsujiban.agent.enforcer import Enforcer
from tsujiban.agent.mesh import SIDECAR, PodMesh
from tsujiban.agent.podenv import ConfigError
from tsujiban.agent.podprobes import ContainerProbes
from tsujiban.agent.podstatus import ContainerView, is_ready, pod_status
from tsujiban.agent.sandbox import exec_command
from tsujiban.network import links
from tsujiban.network.namespaces import NamespaceError
from tsujiban.policy.program import Mesh
from tsujiban.resources.kinds.core import ConfigMap, Pod
from tsujiban.resources.load import decode
from tsujiban.supervise.client import ProcessEvent, ProcessStatus, Refused, SupervisorClient, SupervisorGone
from tsujiban.wire.messages import NodeConfig, PodsDelta, PodStatus

log = structlog.get_logger(__name__)

HOLD_SECONDS = 5.0
UNSETTLED_SECONDS = 0.05
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
        mesh: PodMesh,
        supervisor: SupervisorClient,
        report: Report,
    ) -> None:
        self.key = key
        self.pod: Pod = decode(raw)  # type: ignore[assignment]  # of kind Pod: the controller sends no other
        self._raw = raw
        self._place = place
        self._enforcer = enforcer
        self._mesh = mesh
        self._supervisor = supervisor
        self._report = report
        self._plans = containers.plan(self.pod, place)
        self._probes: dict[str, ContainerProbes] = {}
        self._changed = asyncio.Event()
        self._retry = asyncio.Event()
        self._stale = False
        self._meshed = False
        self._started_at = time.time()
        self._trouble = ""
        self._last: bytes = b""
        self._serving = (0, 0)  # pid and start of the sidecar that has been seen to serve
        self._hold_until = time.monotonic() + HOLD_SECONDS if is_ready(raw) else 0.0

    @property
    def uid(self) -> str:
        """The pod's UID."""
        return self.pod.metadata.uid

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

    def refresh(self) -> None:
        """A ConfigMap that the pod may mount has changed."""
        self._stale = True
        self._retry.set()
        self.poke()

    async def run(self) -> None:
        """Bring the pod up, then follow it. Until cancelled."""
        failures = 0
        while True:
            try:
                await self._start()
                break
            except (OSError, ConfigError, NamespaceError, Refused) as error:
                self._trouble = str(error)
                log.warning("pod cannot start", pod=self.key, reason=self._trouble)
                await self._say()
                await self._rest(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
        self._trouble = ""
        while True:
            self._changed.clear()
            if self._stale:
                await self._renew_volumes()
            settled = await self._say()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), None if settled else UNSETTLED_SECONDS)

    async def _rest(self, seconds: float) -> None:
        """Wait before the next attempt, unless something changes that it may have failed for."""
        self._retry.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._retry.wait(), seconds)

    async def _renew_volumes(self) -> None:
        self._stale = False
        try:
            await asyncio.to_thread(containers.prepare, self.pod, self._place)
        except (OSError, ConfigError, NamespaceError) as error:
            log.warning("volumes not renewed", pod=self.key, reason=str(error))

    async def end(self) -> None:
        """Stop everything of the pod, and remove what it had. May be repeated."""
        for running in self._probes.values():
            running.stop()
        names = [plan.process.name for plan in self._plans if plan.process is not None]
        await asyncio.gather(*(self._supervisor.stop(name, forget_log=True) for name in names))
        await self._mesh.leave(self.key, self.pod, self._place)
        await asyncio.to_thread(self._remove)

    # ------------------------------------------------------------ up

    async def _start(self) -> None:
        await self._enforcer.until(
            lambda state: (
                self.key in state.endpoints and state.endpoints[self.key].addresses == self._place.addresses
            )
        )
        program = self._enforcer.state.endpoints[self.key]
        await asyncio.to_thread(self._prepare)
        self._meshed = program.mesh is not Mesh.NONE
        if self._meshed:
            await self._mesh.join(self.key, self.pod, self._place, program)
        for plan in self._plans:
            if plan.process is not None:
                await self._supervisor.start(plan.process)

    def _prepare(self) -> None:
        containers.prepare(self.pod, self._place)
        sandbox = containers.sandbox_of(self.pod, self._place)
        link = links.PodLink(uid=self.uid, namespace=sandbox.netns, addresses=self._place.addresses)
        links.add(link)

    def _remove(self) -> None:
        links.delete(self.uid)
        containers.sandbox_of(self.pod, self._place).remove()

    # ------------------------------------------------------------ what is said of it

    async def _say(self) -> bool:
        """Report, if there is news; False when a proxy is awaited, of which no event tells."""
        prefix = containers.pod_prefix(self._place.node, self.uid)
        processes = {status.name: status for status in await self._supervisor.list(prefix)}
        views = [self._view(plan, processes) for plan in self._plans]
        sidecar = self._sidecar(processes) if self._meshed else None
        if self._holding(views, sidecar):
            return False
        status = pod_status(
            self._raw, views, host_ip=self._place.host_ip, started_at=self._started_at, sidecar=sidecar
        )
        if self._trouble:
            status["message"] = self._trouble
        encoded = msgspec.json.encode(status)
        if encoded != self._last:
            self._last = encoded
            self._report(PodStatus(pod=self.key, uid=self.uid, status=encoded))
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

    def _sidecar(self, processes: dict[str, ProcessStatus]) -> bool:
        """Whether the pod's proxy serves: it has accepted everything once since it was started.
        (While it takes a change it goes on serving.)"""
        process = processes.get(containers.process_name(self._place.node, self.uid, SIDECAR))
        if process is None or process.state != "running":
            return False
        incarnation = (process.pid, process.start_ticks)
        if self._serving != incarnation and self._mesh.ready(self.key):
            self._serving = incarnation
        return self._serving == incarnation

    def _view(self, plan: ContainerPlan, processes: dict[str, ProcessStatus]) -> ContainerView:
        process = processes.get(plan.process.name) if plan.process is not None else None
        if process is None or plan.process is None:
            return ContainerView(plan.name, plan.image, "waiting", reason=plan.reason)
        running = process.state == "running"
        probing = self._probe(plan, process) if running else None
        if not running:
            self._stop_probes(plan.name)
        return ContainerView(
            plan.name,
            plan.image,
            process.state,
            ready=probing is not None and probing.ready,
            restarts=process.restarts,
            started_at=process.started_at,
            exit_code=process.last_exit,
        )

    def _probe(self, plan: ContainerPlan, process: ProcessStatus) -> ContainerProbes:
        incarnation = f"{plan.name} {process.pid} {process.start_ticks}"
        if incarnation not in self._probes:
            self._stop_probes(plan.name)
            self._probes[incarnation] = ContainerProbes(
                plan,
                lambda probe: self._ask(plan, process, probe),
                self.poke,
                lambda why: self._kill(process.name, why),
            )
        return self._probes[incarnation]

    def _stop_probes(self, container: str) -> None:
        for incarnation in [key for key in self._probes if key.partition(" ")[0] == container]:
            self._probes.pop(incarnation).stop()

    async def _ask(self, plan: ContainerPlan, process: ProcessStatus, probe: probes.Probe) -> str:
        command = None
        if probe.command and plan.process is not None:
            try:
                command = exec_command(plan.process, process.pid, probe.command)
            except LookupError as error:
                return str(error)
        return await probes.run(probe, containers.sandbox_of(self.pod, self._place).netns_path, command)

    async def _kill(self, name: str, why: str) -> None:
        log.warning("container killed", pod=self.key, process=name, reason=why)
        await self._supervisor.kill(name, signal.SIGKILL)


class Pods:
    """All pods of this node."""

    def __init__(
        self,
        config: AgentConfig,
        enforcer: Enforcer,
        mesh: PodMesh,
        supervisor: SupervisorClient,
        report: Report,
    ) -> None:
        self._config = config
        self._enforcer = enforcer
        self._mesh = mesh
        self._supervisor = supervisor
        self._report = report
        self._network: NodeConfig | None = None
        self._config_maps: dict[str, ConfigMap] = {}
        self._raw_config_maps: dict[str, bytes | None] = {}
        self._runners: dict[str, PodRunner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}

    def configure(self, config: NodeConfig) -> None:
        """The cluster's networks; must come before the first pods."""
        self._network = config

    def take(self, delta: PodsDelta) -> None:
        """Start, keep and end pods as the controller says."""
        for name, raw in delta.config_maps.items():
            self._raw_config_maps[name] = raw
            if raw is None:
                self._config_maps.pop(name, None)
            else:
                self._config_maps[name] = decode(raw)  # type: ignore[assignment]  # of kind ConfigMap
        for key, runner in self._runners.items():
            if any(name.partition("/")[0] == key.partition("/")[0] for name in delta.config_maps):
                runner.refresh()
        gone = {key for key, raw in delta.pods.items() if raw is None}
        if delta.full:
            gone |= self._runners.keys() - delta.pods.keys()
        for key in gone:
            self._end(key)
        for key, raw in delta.pods.items():
            if raw is not None:
                self._want(key, msgspec.json.decode(raw))

    def delta(self) -> PodsDelta:
        """All that is wanted here, as the controller would say it."""
        return PodsDelta(
            pods={key: runner.raw for key, runner in self._runners.items()},
            config_maps=dict(self._raw_config_maps),
            full=True,
        )

    def report_all(self) -> None:
        """Say again what became of every pod."""
        for runner in self._runners.values():
            runner.report_again()

    def running(self) -> dict[str, PodRunner]:
        """The pods that are wanted here, by namespace/name."""
        return dict(self._runners)

    def event(self, event: ProcessEvent) -> None:
        """Something happened to one of the supervisor's processes."""
        for runner in self._runners.values():
            if event.name.startswith(containers.pod_prefix(self._config.node, runner.uid)):
                runner.poke()

    async def settle(self) -> None:
        """Wait until every pod that is ending has ended."""
        while self._ending:
            await asyncio.gather(*self._ending.values(), return_exceptions=True)

    def _want(self, key: str, raw: dict[str, Any]) -> None:
        known = self._runners.get(key)
        if known is not None and known.uid == raw["metadata"]["uid"]:
            return  # a pod's containers, node and address never change
        if known is not None:
            self._end(key)
        runner = PodRunner(
            key, raw, self._place(raw), self._enforcer, self._mesh, self._supervisor, self._report
        )
        self._runners[key] = runner
        self._tasks[key] = _watched(f"pod {key}", self._run(key, runner))

    async def _run(self, key: str, runner: PodRunner) -> None:
        """After a pod of the same name has ended, if one is still ending."""
        if key in self._ending:
            await asyncio.gather(self._ending[key], return_exceptions=True)
        await runner.run()

    def _end(self, key: str) -> None:
        runner = self._runners.pop(key, None)
        if runner is None:
            return
        task = self._tasks.pop(key)
        task.cancel()
        self._ending[key] = _watched(f"end of pod {key}", self._finish(key, runner, task))

    async def _finish(self, key: str, runner: PodRunner, task: asyncio.Task[None]) -> None:
        await asyncio.gather(task, return_exceptions=True)
        for delay in (*RETRY_SECONDS, None):
            try:
                await runner.end()
                break
            except (OSError, NamespaceError, SupervisorGone, Refused) as error:
                log.warning("pod cannot be removed", pod=key, reason=str(error))
                if delay is None:
                    raise
                await asyncio.sleep(delay)
        if self._ending.get(key) is asyncio.current_task():
            del self._ending[key]

    def _place(self, raw: dict[str, Any]) -> Place:
        if self._network is None:
            raise RuntimeError("pods came before the network's configuration")
        namespace = raw["metadata"]["namespace"]
        addresses = tuple(entry["ip"] for entry in raw["status"]["podIPs"])
        return Place(
            cluster=self._config.cluster,
            node=self._config.node,
            node_run=self._config.run,
            slot=slot_of(addresses[0], self._network.pod_cidrs),
            addresses=addresses,
            host_ip=self._config.address,
            dns_address=self._network.dns_address,
            cluster_domain=self._network.cluster_domain,
            config_maps=ConfigMaps(self._config_maps, namespace),
        )


class ConfigMaps(Mapping[str, ConfigMap]):
    """The ConfigMaps of one namespace by name, as they are now."""

    def __init__(self, everywhere: Mapping[str, ConfigMap], namespace: str) -> None:
        self._everywhere = everywhere
        self._prefix = namespace + "/"

    def __getitem__(self, name: str) -> ConfigMap:
        return self._everywhere[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._everywhere if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def slot_of(address: str, pod_cidrs: tuple[str, ...]) -> int:
    """A number for a pod that no other pod of the cluster has: the place of its address in its pool.

    It makes user ids that differ also between the nodes of a local cluster, which share one kernel.
    Raises ValueError when the address is in no pool.
    """
    parsed = ipaddress.ip_address(address)
    for cidr in pod_cidrs:
        network = ipaddress.ip_network(cidr)
        if parsed in network:
            return int(parsed) - int(network.network_address)
    raise ValueError(f"{address} is in none of the pools {', '.join(pod_cidrs)}")


def _watched(name: str, coroutine: Awaitable[None]) -> asyncio.Task[None]:
    """A task whose unexpected end is logged, not swallowed."""

    async def run() -> None:
        await coroutine

    task = asyncio.create_task(run(), name=name)
    task.add_done_callback(_report_crash)
    return task


def _report_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task ended", task=task.get_name(), exc_info=error)
