"""The agent put together: one node's posts, pods and identities, and the link to the controller.

Nothing the data plane needs ends with this process: tables, sidecars, containers, BIRD and DNS go
on; a new agent finds them by name and carries on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from tsujiban import __version__
from tsujiban.agent import (
    cgroups,
    containers,
    credentials,
    hangups,
    machine,
    names,
    records,
    room,
    terminationmessage,
)
from tsujiban.agent.config import AgentConfig
from tsujiban.agent.enforcer import Enforcer, Post
from tsujiban.agent.flowlog import FlowLog
from tsujiban.agent.health import Health
from tsujiban.agent.join import Rejoining, ensure_joined
from tsujiban.agent.kernelside import KernelSide
from tsujiban.agent.link import ControllerLink, Dial
from tsujiban.agent.memory import Memory, recall
from tsujiban.agent.mesh import PodMesh
from tsujiban.agent.names import NamesSide
from tsujiban.agent.nodeproxy import NodeProxy
from tsujiban.agent.pods import Pods
from tsujiban.agent.proxies import Proxies
from tsujiban.agent.proxyroom import OWNERS, OWNERS_INSIDE
from tsujiban.agent.reissue import Reissue
from tsujiban.agent.routing import Routing
from tsujiban.agent.sessions import Sessions
from tsujiban.agent.sidecars import Sidecars
from tsujiban.identity.rotation import SvidManager
from tsujiban.kernel.conntrack import Ended
from tsujiban.kernel.nflog import KernelLog
from tsujiban.kernel.verdicts import Logging
from tsujiban.network.bird import BirdError
from tsujiban.policy.failsafes import Failsafe
from tsujiban.policy.program import Mesh
from tsujiban.proxy.owners import Owners
from tsujiban.proxy.post import ProxyPost
from tsujiban.resources import nets
from tsujiban.resources.protocols import TCP
from tsujiban.supervise.client import Refused, SupervisorClient, SupervisorGone
from tsujiban.wire.messages import (
    CONTROLLER_NAME,
    PROTOCOL_VERSION,
    Enforced,
    Hello,
    NodeConfig,
    NodeStatus,
    OpenSession,
    PodsDelta,
    Policy,
)

log = structlog.get_logger(__name__)

MEMORY = "memory.msgpack"
AGAIN_SECONDS = 1.0  # before what failed is tried again
STATUS_SECONDS = 1.0  # how often components are looked at
STATUS_REPEAT_SECONDS = 10.0  # how often they are reported when nothing changes


class Node:
    """What there is once the controller has said what the cluster's networks are."""

    def __init__(
        self, config: AgentConfig, network: NodeConfig, link: ControllerLink, supervisor: SupervisorClient
    ) -> None:
        self._config = config
        self._link = link
        self._supervisor = supervisor
        self._network = network
        self.flows = FlowLog(link.send, link.takes_flows)
        self.post = ProxyPost(
            network.pod_cidrs,
            Owners(config.run / OWNERS, seen=OWNERS_INSIDE),
            lambda event: self.flows.add([records.of_proxy(event, config.node)]),
        )
        self.svids = SvidManager(link.sign, self.post.set_secret, network.trust_bundle_pem)
        self.kernel = KernelSide(network.dns_address, self._ended, hangups.of_cluster(config.cluster))
        self.node_proxy = NodeProxy(
            config.node, config.address, config.run, self.post, self.svids, supervisor, self._wanted
        )
        self.sidecars = Sidecars(config.node, config.run, self.post, self.svids, supervisor)
        ways: dict[Mesh, PodMesh] = {Mesh.SIDECAR: self.sidecars, Mesh.NODE: self.node_proxy}
        self.proxies = Proxies(self.post, ways, lambda: self.pods.look_again())
        self.memory = Memory(
            config.state / MEMORY, lambda: self._network, lambda: self.pods.delta(), lambda: link.known
        )
        self.names = NamesSide(config, network)
        self._routes = asyncio.Event()
        posts: list[Post] = [self.kernel, self.proxies, self.names, self.memory, Reissue(self.svids)]
        self.enforcer = Enforcer(posts, self._acknowledge)
        self.kernel.refresh = self.enforcer.refresh
        self.routing = Routing(config, supervisor)
        self.pods = Pods(
            config, self.enforcer, self.proxies, supervisor, link.send, link.token, cgroups.find()
        )
        self.sessions = Sessions(config.node, self.pods.running, supervisor)
        self.health = Health(
            config,
            supervisor,
            self.enforcer,
            self.kernel,
            self.routing,
            self.proxies,
            self.node_proxy,
            self.svids,
            self.pods,
            self.post,
            self.flows,
        )

    def configure(self, network: NodeConfig) -> None:
        """The cluster's networks, at first and when they change."""
        self._network = network
        self.memory.touch()
        self.flows.share_out(network.pod_cidrs)
        self.pods.configure(network)
        self.kernel.configure(network, self._lifelines())
        self.post.set_pod_cidrs(network.pod_cidrs)
        self.svids.set_bundle(network.trust_bundle_pem)
        self.names.configure(network)
        self._routes.set()

    def learned(self) -> None:
        """The controllers that the node was told of have changed."""
        self.memory.touch()
        self.kernel.configure(self._network, self._lifelines())

    def _lifelines(self) -> list[Failsafe]:
        """The ways to controllers. What the node was told opens a port of that very address alone."""
        configured = [Failsafe(TCP, port) for _, port in self._config.controllers]
        told = [Failsafe(TCP, one.port, str(nets.network(one.address))) for one in self._link.known]
        return configured + told

    async def _keep_routes(self) -> None:
        """Have BIRD take each new configuration; again, when it could not be given."""
        while True:
            await self._routes.wait()
            self._routes.clear()
            try:
                await self._supervisor.start(names.process(self._config, self._network))
                await self.routing.configure(self._network)
            except (BirdError, OSError, Refused) as error:
                self.health.routing_error = str(error)
                log.error("BIRD and DNS are not as they should be", reason=str(error))
                await asyncio.sleep(AGAIN_SECONDS)
                self._routes.set()
            else:
                self.health.routing_error = ""

    def _wanted(self) -> set[str]:
        """Pods of this node that its own Envoy may have to serve."""
        known = self.enforcer.state.endpoints
        return {key for key in self.pods.running() if key not in known or known[key].mesh is Mesh.NODE}

    async def _resume_proxy(self) -> None:
        while True:
            try:
                await self.node_proxy.resume()
                return
            except (OSError, Refused) as error:
                log.error("the node's proxy cannot be taken up", reason=str(error))
                await asyncio.sleep(AGAIN_SECONDS)

    def take_pods(self, delta: PodsDelta) -> None:
        """The pods that this node must run, or a difference of them."""
        self.pods.take(delta)
        if delta.full:
            self.pods.sweep()
        self.memory.touch()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_routes())
            tasks.create_task(self._resume_proxy())
            tasks.create_task(self.sidecars.renewal.run())
            tasks.create_task(self.enforcer.run())
            tasks.create_task(self.kernel.watch())
            tasks.create_task(room.keep(self.kernel.owners))
            tasks.create_task(self.node_proxy.descriptors.keep())
            tasks.create_task(self.flows.run())
            tasks.create_task(self.memory.run())
            tasks.create_task(self._read_kernel_log())
            tasks.create_task(self._follow_processes())
            tasks.create_task(self._report_health())
            tasks.create_task(self.pods.repeat_statuses())
            tasks.create_task(terminationmessage.keep_short(self._config.run / containers.SANDBOXES))

    async def _acknowledge(self, message: Enforced) -> None:
        self._link.send(message)

    def _ended(self, ended: Sequence[Ended]) -> None:
        now = time.time_ns()
        owners = {
            address: endpoint.id
            for endpoint in self.enforcer.state.endpoints.values()
            for address in endpoint.addresses
        }
        self.flows.add(
            records.of_ended(
                one,
                self._config.node,
                now,
                owners.get(one.connection.destination) or owners.get(one.connection.source, ""),
            )
            for one in ended
        )

    async def _read_kernel_log(self) -> None:
        kernel_log = KernelLog(Logging().group, self.kernel.owners, self.kernel.long_ids)
        try:
            async for event in kernel_log.events():
                flow = records.of_kernel(event, self._config.node)
                if flow is not None:
                    self.flows.add([flow])
        finally:
            kernel_log.close()

    async def _follow_processes(self) -> None:
        """The supervisor's word of what happens to processes. When it is gone everything goes on."""
        while True:
            try:
                async for event in self._supervisor.watch():
                    if event.event == "watching":
                        self.pods.look_again()  # what happened before nobody has told
                    self.pods.event(event)
            except SupervisorGone as error:
                log.error("nobody restarts processes now", reason=str(error))
                await asyncio.sleep(AGAIN_SECONDS)

    def _look_at_certificate(self) -> None:
        try:
            found = credentials.load(self._config.state, self._config.node)
        except credentials.CredentialsError as error:
            self.health.node_certificate_error = str(error)
            return
        self.health.node_certificate_expires = found.not_after
        self.health.node_certificate_error = self._link.renewal_error

    async def _report_health(self) -> None:
        await asyncio.to_thread(self.health.find_versions)
        last = None
        reported = 0.0
        while True:
            self._look_at_certificate()
            try:
                status = await self.health.look()
            except (SupervisorGone, Refused) as error:
                status = NodeStatus(components=(self.health.unsupervised(str(error)),))
            summary = [
                (c.name, c.healthy, c.detail, c.restarts, c.certificate_expires) for c in status.components
            ]
            if summary != last or time.monotonic() - reported > STATUS_REPEAT_SECONDS:
                self._link.send(status)
                last, reported = summary, time.monotonic()
            await asyncio.sleep(STATUS_SECONDS)


class Agent:
    """The process: joins, stays connected, and obeys."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._supervisor = SupervisorClient(config.supervisor_socket)
        self._node: Node | None = None
        self._link = ControllerLink(
            config.controllers,
            config.node,
            config.state,
            self._hello,
            server_name=CONTROLLER_NAME,
            on_connected=self._connected,
            on_learned=self._learned,
            on_session=self._open_session,
            rejoin=Rejoining(Path(config.join_file), config.state, config.node),
        )

    async def run(self) -> None:
        """Until cancelled. Raises JoinError, or a group of what made a part fail."""
        await ensure_joined(Path(self._config.join_file), self._config.state, self._config.node)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._link.run())
            tasks.create_task(self._obey(tasks))

    def _hello(self) -> Hello:
        return Hello(
            node=self._config.node,
            protocol=PROTOCOL_VERSION,
            addresses=(self._config.address,),
            version=__version__,
            system=machine.about(),
            capacity=machine.capacity(),
            learns=True,
        )

    def _learned(self) -> None:
        if self._node is not None:
            self._node.learned()

    def _connected(self) -> None:
        if self._node is not None:
            self._node.pods.report_all()

    def _open_session(self, message: OpenSession, dial: Dial) -> None:
        if self._node is None:
            log.error("a session was asked for before the node has its configuration; ignored")
        else:
            self._node.sessions.open(message, dial)

    def _begin(self, network: NodeConfig, tasks: asyncio.TaskGroup) -> Node:
        """Build the node, or tell it of changed networks."""
        if self._node is None:
            self._node = Node(self._config, network, self._link, self._supervisor)
            tasks.create_task(self._node.run())
        self._node.configure(network)
        return self._node

    async def _obey(self, tasks: asyncio.TaskGroup) -> None:
        remembered = recall(self._config.state / MEMORY)
        if remembered is not None:
            self._link.learn(remembered.controllers)
            node = self._begin(remembered.network, tasks)
            node.enforcer.take(remembered.policy)
            node.pods.take(remembered.pods)
        async for message in self._link.messages():
            if isinstance(message, NodeConfig):
                self._begin(message, tasks)
            elif self._node is None:
                log.error("the controller spoke before it sent the configuration; ignored")
            elif isinstance(message, Policy):
                self._node.enforcer.take(message.delta)
            elif isinstance(message, PodsDelta):
                self._node.take_pods(message)
