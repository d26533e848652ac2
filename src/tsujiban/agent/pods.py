"""The pods that the controller has bound to this node: which are wanted, which are ending.

One task per pod (`agent.podrunner`). A pod begins only when those that had its name or its address
have ended.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
import structlog

from tsujiban.agent import containers, nodeproxy, orphans
from tsujiban.agent.cgroups import Groups
from tsujiban.agent.config import AgentConfig
from tsujiban.agent.containers import Place
from tsujiban.agent.enforcer import Enforcer
from tsujiban.agent.objects import ConfigError, Objects, Values
from tsujiban.agent.podrunner import RETRY_SECONDS, PodRunner, Report
from tsujiban.agent.podstatus import ENDED
from tsujiban.agent.podtokens import AskToken
from tsujiban.agent.proxies import Proxies
from tsujiban.network.namespaces import NamespaceError
from tsujiban.resources.kinds.core import ConfigMap
from tsujiban.resources.load import decode
from tsujiban.supervise.client import ProcessEvent, Refused, SupervisorClient
from tsujiban.wire.messages import NodeConfig, PodsDelta, PodStatus

log = structlog.get_logger(__name__)

T = TypeVar("T")

REPEAT_SECONDS = 30.0  # between two times that all statuses are said


class Pods:
    """All pods of this node."""

    def __init__(
        self,
        config: AgentConfig,
        enforcer: Enforcer,
        mesh: Proxies,
        supervisor: SupervisorClient,
        report: Report,
        ask_token: AskToken | None = None,
        groups: Groups | None = None,
    ) -> None:
        """`ask_token` gets tokens for pods (`agent.podtokens`); None: pods get none. `groups` is what the
        machine can limit; None: nothing."""
        self._ask_token = ask_token
        self._config = config
        self._enforcer = enforcer
        self._mesh = mesh
        self._supervisor = supervisor
        self._report = report
        self._network: NodeConfig | None = None
        self._groups = groups or Groups()
        self._config_maps: dict[str, ConfigMap] = {}
        self._raw_config_maps: dict[str, bytes | None] = {}
        self._secrets: dict[str, Values | None] = {}
        self._runners: dict[str, PodRunner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: dict[str, tuple[PodRunner, asyncio.Task[None]]] = {}  # by uid
        self._terminating: dict[str, asyncio.Task[None]] = {}  # by uid: who will say that they have ended
        self._sweep: asyncio.Task[None] | None = None

    def configure(self, config: NodeConfig) -> None:
        """The cluster's networks; must come before the first pods."""
        self._network = config

    def take(self, delta: PodsDelta) -> None:
        """Start, keep and end pods as the controller says."""
        if delta.full:
            for name in self._raw_config_maps.keys() - delta.config_maps.keys():
                del self._raw_config_maps[name]
                self._config_maps.pop(name, None)
            self._secrets.clear()
        self._secrets.update(delta.secrets)
        for name, raw in delta.config_maps.items():
            self._raw_config_maps[name] = raw
            if raw is None:
                self._config_maps.pop(name, None)
            else:
                self._config_maps[name] = decode(raw)  # type: ignore[assignment]  # of kind ConfigMap
        told = {("configmaps", name) for name in delta.config_maps} | {
            ("secrets", name) for name in delta.secrets
        }
        for runner in self._runners.values():
            if not told.isdisjoint(runner.made_of):
                runner.refresh()
        gone = {key for key, raw in delta.pods.items() if raw is None}
        if delta.full:
            gone |= self._runners.keys() - delta.pods.keys()
        for key in gone:
            self._end(key)
        for key, raw in delta.pods.items():
            if raw is not None:
                self._want(key, msgspec.json.decode(raw))
        used = {
            name
            for runner in self._runners.values()
            for plural, name in runner.made_of
            if plural == "secrets"
        }
        for name in self._secrets.keys() - used:  # nobody needs it here any more
            del self._secrets[name]

    def sweep(self) -> None:
        """Remove what an earlier agent left of pods that are not wanted; pods begin after that. To be
        called when all that the controller wants has been taken."""
        if self._sweep is None or self._sweep.done():
            self._sweep = _steadily("sweep", self._remove_orphans)

    def delta(self) -> PodsDelta:
        """All that is wanted here, as the controller would say it; Secrets, which are never on a disk, left
        out."""
        return PodsDelta(
            pods={key: runner.raw for key, runner in self._runners.items()},
            config_maps=dict(self._raw_config_maps),
            full=True,
        )

    def report_all(self) -> None:
        """Say again what became of every pod."""
        for runner in self._runners.values():
            runner.report_again()

    async def repeat_statuses(self) -> None:
        """Say now and then what was said last, until cancelled. The controller writes nothing when it is what
        it has; when somebody else has written there, or it could not be written then, it is now."""
        while True:
            await asyncio.sleep(REPEAT_SECONDS)
            for runner in self._runners.values():
                runner.repeat()

    def look_again(self) -> None:
        """Something may have happened to any process."""
        for runner in self._runners.values():
            runner.poke()

    def running(self) -> dict[str, PodRunner]:
        """The pods that are wanted here, by namespace/name."""
        return dict(self._runners)

    def event(self, event: ProcessEvent) -> None:
        """Something happened to one of the supervisor's processes."""
        if event.name == nodeproxy.process_name(self._config.node):
            self.look_again()
        for runner in self._runners.values():
            if event.name.startswith(containers.pod_prefix(self._config.node, runner.uid)):
                if event.event == "exited":
                    runner.refresh()
                runner.poke()

    async def settle(self) -> None:
        """Wait until every pod that is ending has ended."""
        while self._ending:
            await asyncio.wait([task for _, task in self._ending.values()])

    def _want(self, key: str, raw: dict[str, Any]) -> None:
        known = self._runners.get(key)
        if raw["metadata"].get("deletionTimestamp"):
            self._terminate(key, raw, known)
            return
        if known is not None and known.uid == raw["metadata"]["uid"]:
            known.describe(raw)
            return  # a pod's containers, node and address never change
        if known is not None:
            self._end(key)
        try:
            place = self._place(raw)
            runner = PodRunner(
                key, raw, place, self._enforcer, self._mesh, self._supervisor, self._report, self._ask_token
            )
        except (ValueError, KeyError, ConfigError, msgspec.MsgspecError) as error:
            log.error("pod cannot be run", pod=key, reason=str(error))
            status = {"phase": "Pending", "reason": "CannotRun", "message": str(error), "conditions": []}
            uid = raw["metadata"]["uid"]
            self._report(PodStatus(pod=key, uid=uid, status=msgspec.json.encode(status)))
            return
        self._runners[key] = runner
        self._tasks[key] = _steadily(f"pod {key}", lambda: self._run(runner))

    def _terminate(self, key: str, raw: dict[str, Any], known: PodRunner | None) -> None:
        """End a pod that is to be deleted, then say so: the controller deletes it when it hears that."""
        if known is not None:
            self._end(key)  # also one of another uid: its successor is to go before it began
        uid = raw["metadata"]["uid"]
        ending = self._ending.get(uid)
        if ending is not None:
            ending[0].hurry(raw["metadata"].get("deletionGracePeriodSeconds"))
        if uid not in self._terminating:
            self._terminating[uid] = _steadily(f"termination of pod {key}", lambda: self._say_ended(key, uid))

    async def _say_ended(self, key: str, uid: str) -> None:
        if self._sweep is not None:
            await asyncio.wait([self._sweep])
        while uid in self._ending:
            await asyncio.wait([self._ending[uid][1]])
        self._report(PodStatus(pod=key, uid=uid, status=msgspec.json.encode(ENDED)))
        del self._terminating[uid]

    async def _run(self, runner: PodRunner) -> None:
        """After pods that had its name or address have ended: two with one would be taken for each other."""
        if self._sweep is not None:
            await asyncio.wait([self._sweep])
        while before := [task for other, task in self._ending.values() if runner.follows(other)]:
            await asyncio.wait(before)  # (which, unlike gather, leaves them alone when this is cancelled)
        await runner.run()

    async def _remove_orphans(self) -> None:
        for delay in _delays():
            keep = {runner.uid for runner in self._runners.values()} | self._ending.keys()
            try:
                await orphans.remove(self._config, self._supervisor, self._groups, keep)
                break
            except (OSError, NamespaceError, Refused) as error:
                log.warning("leftovers cannot be removed", reason=str(error))
                await asyncio.sleep(delay)

    def _end(self, key: str) -> None:
        runner = self._runners.pop(key, None)
        if runner is None:
            return
        task = self._tasks.pop(key)
        task.cancel()
        finish = _steadily(f"end of pod {key}", lambda: self._finish(key, runner, task))
        self._ending[runner.uid] = (runner, finish)

    async def _finish(self, key: str, runner: PodRunner, task: asyncio.Task[None]) -> None:
        await asyncio.wait([task])
        for delay in _delays():
            try:
                await runner.end()
                break
            except (OSError, NamespaceError, Refused) as error:
                log.warning("pod cannot be removed", pod=key, reason=str(error))
                await asyncio.sleep(delay)
        del self._ending[runner.uid]

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
            objects=Objects(
                config_maps=OfNamespace(self._config_maps, namespace),
                secrets=OfNamespace(self._secrets, namespace),
            ),
            trust_bundle_pem=self._network.trust_bundle_pem,
            groups=self._groups,
            api_address=self._network.api_address,
        )


class OfNamespace(Mapping[str, T]):
    """The objects of one namespace by name, as they are now."""

    def __init__(self, everywhere: Mapping[str, T], namespace: str) -> None:
        self._everywhere = everywhere
        self._prefix = namespace + "/"

    def __getitem__(self, name: str) -> T:
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


def _delays() -> Iterator[float]:
    """Seconds between attempts, without end."""
    return itertools.chain(RETRY_SECONDS, itertools.repeat(RETRY_SECONDS[-1]))


def _steadily(name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """A task that does `work`, and does it again when it has failed in a way that nobody thought of: that is
    logged, and the pod does not stay half up, or half gone, until there is another agent."""

    async def done() -> None:
        for delay in _delays():
            (error,) = await asyncio.gather(work(), return_exceptions=True)
            if error is None:
                return
            log.error("task failed and begins anew", task=name, seconds=delay, exc_info=error)
            await asyncio.sleep(delay)

    return asyncio.create_task(done(), name=name)
