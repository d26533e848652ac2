"""What `tsujiban status` shows of this node: every component, as it is now."""

from __future__ import annotations

import itertools
import subprocess
import time

import structlog

from tsujiban import __version__
from tsujiban.agent import containers, nodeproxy
from tsujiban.agent.config import AgentConfig
from tsujiban.agent.enforcer import Enforcer
from tsujiban.agent.flowlog import FlowLog
from tsujiban.agent.kernelside import KernelSide
from tsujiban.agent.nodeproxy import NodeProxy
from tsujiban.agent.pods import Pods
from tsujiban.agent.proxies import Proxies
from tsujiban.agent.routing import Routing
from tsujiban.identity.rotation import SvidManager, SvidStatus
from tsujiban.network.birdc import BirdcError
from tsujiban.proxy import binary
from tsujiban.proxy.post import ProxyPost
from tsujiban.supervise.client import ProcessStatus, SupervisorClient
from tsujiban.wire.messages import Component, NodeStatus
from tsujiban.wire.sessions import SIDECAR

log = structlog.get_logger(__name__)


class Health:
    """Looks at everything, when asked."""

    def __init__(
        self,
        config: AgentConfig,
        supervisor: SupervisorClient,
        enforcer: Enforcer,
        kernel: KernelSide,
        routing: Routing,
        proxies: Proxies,
        node_proxy: NodeProxy,
        svids: SvidManager,
        pods: Pods,
        post: ProxyPost,
        flows: FlowLog,
    ) -> None:
        self._config = config
        self._supervisor = supervisor
        self._enforcer = enforcer
        self._kernel = kernel
        self._routing = routing
        self._proxies = proxies
        self._node_proxy = node_proxy
        self._svids = svids
        self._pods = pods
        self._post = post
        self._flows = flows
        self._versions = {"bird": "", "kernel": "", "sidecar": ""}
        self.routing_error = ""
        self.node_certificate_expires = 0.0
        self.node_certificate_error = ""

    def find_versions(self) -> None:
        """Ask the tools for their versions, once. Blocks."""
        self._versions = {
            "bird": _version("bird", "--version"),
            "kernel": _version("nft", "--version"),
            "sidecar": f"envoy {binary.version()}",
        }

    def unsupervised(self, reason: str) -> Component:
        """What can be said of this node without its supervisor."""
        detail = (
            f"{reason}: what runs goes on, and nothing that ends is started again; `tsujiban down "
            "--keep-state`, then `tsujiban up`"
        )
        return Component(name="supervisor", healthy=False, detail=detail, last_sync=time.time())

    async def look(self) -> NodeStatus:
        """The state of every component. Raises SupervisorGone."""
        processes = {p.name: p for p in await self._supervisor.list(f"{self._config.node}/")}
        components = [
            self._agent(processes),
            self._kernel_component(),
            await self._bird(processes),
            _component("dns", processes.get(f"{self._config.node}/dns"), __version__),
        ]
        expiry = {status.pod: status for status in self._svids.status()}
        proxy = processes.get(nodeproxy.process_name(self._config.node))
        if proxy is not None:
            components.append(self._proxy(proxy, expiry))
        for key, runner in sorted(self._pods.running().items()):
            name = containers.process_name(self._config.node, runner.uid, SIDECAR)
            if name in processes:
                status = expiry.get(key)
                ready = self._proxies.ready(key)
                error = status.error if status else ""
                there = self._post.versions(key)
                components.append(
                    _component(
                        f"sidecar {key}",
                        processes[name],
                        self._envoys(there),
                        healthy=ready,
                        detail=error
                        or (_renewed(there) if ready else "has not accepted its configuration yet"),
                        certificate_expires=status.expires if status else 0.0,
                    )
                )
        return NodeStatus(components=tuple(components))

    def _proxy(self, process: ProcessStatus, expiry: dict[str, SvidStatus]) -> Component:
        """The node's Envoy; healthy when it serves all its pods."""
        pods = sorted(self._node_proxy.pods)
        waiting = [key for key in pods if not self._node_proxy.ready(key)]
        errors = [f"{key}: {expiry[key].error}" for key in pods if key in expiry and expiry[key].error]
        said = [f"not served yet: {', '.join(waiting)}"] if waiting else []
        crowded = sorted(self._node_proxy.descriptors.crowded)
        said += (
            [f"more than half full, and so closed to new connections of {', '.join(crowded)}"]
            if crowded
            else []
        )
        there = self._post.shared_versions
        return _component(
            "proxy",
            process,
            self._envoys(there),
            healthy=not waiting and not errors,
            detail="; ".join((*said, *errors))
            or "; ".join(filter(None, (f"serves {len(pods)} pods", _renewed(there)))),
            certificate_expires=min((expiry[key].expires for key in pods if key in expiry), default=0.0),
        )

    def _envoys(self, there: tuple[str, ...]) -> str:
        """What to call the version of these Envoys; the one that would be started, when there are none."""
        return f"envoy {', '.join(sorted(set(there)))}" if there else self._versions["sidecar"]

    def _agent(self, processes: dict[str, ProcessStatus]) -> Component:
        dropped = f"{self._flows.dropped} flow records dropped" if self._flows.dropped else ""
        return _component(
            "agent",
            processes.get(f"{self._config.node}/agent"),
            __version__,
            detail="; ".join(filter(None, (self.node_certificate_error, dropped))),
            certificate_expires=self.node_certificate_expires,
            last_sync=time.time(),
        )

    def _kernel_component(self) -> Component:
        problems = self._enforcer.problems
        repaired = f"table repaired {self._kernel.repairs} times" if self._kernel.repairs else ""
        return Component(
            name="kernel",
            healthy=not problems and self._enforcer.enforced > 0,
            version=self._versions["kernel"],
            detail="; ".join((*problems, repaired)).strip("; ")
            or f"enforces revision {self._enforcer.enforced}",
            last_sync=time.time(),
        )

    async def _bird(self, processes: dict[str, ProcessStatus]) -> Component:
        try:
            sessions = await self._routing.sessions()
        except BirdcError as error:
            detail, healthy = str(error), False
        else:
            up = sum(session.established for session in sessions)
            detail, healthy = f"{up}/{len(sessions)} BGP sessions up", up == len(sessions)
        if self.routing_error:
            detail, healthy = self.routing_error, False
        process = processes.get(self._routing.name)
        return _component("bird", process, self._versions["bird"], healthy=healthy, detail=detail)


def _component(
    name: str,
    process: ProcessStatus | None,
    version: str,
    *,
    healthy: bool = True,
    detail: str = "",
    certificate_expires: float = 0.0,
    last_sync: float = 0.0,
) -> Component:
    if process is None:
        return Component(name=name, healthy=False, version=version, detail="not started")
    running = process.state == "running"
    return Component(
        name=name,
        healthy=running and healthy,
        version=version,
        detail=detail if running else process.error or process.state,
        certificate_expires=certificate_expires,
        last_sync=last_sync,
        restarts=process.restarts,
        rss_bytes=process.rss_bytes,
        private_bytes=process.private_bytes,
    )


def _renewed(there: tuple[str, ...]) -> str:
    return "an Envoy before this one still has connections" if len(there) > 1 else ""


def _version(*command: str) -> str:
    """What a tool says of its version, shortened."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = itertools.takewhile(lambda word: word[0] != "(", (done.stdout or done.stderr).split())
    return " ".join(itertools.islice(words, 3))
