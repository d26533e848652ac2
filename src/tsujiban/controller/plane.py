"""The control plane put together: store, loop, policy distribution, node streams.

Everything that changes the world's cached view or the policy graph runs in the control loop's own
task; callbacks from streams and the API hand their work over with `Loop.submit`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from ipaddress import ip_address, ip_network

import structlog

from tsujiban.controller import (
    bootstrap,
    enforcement,
    events,
    felix,
    heartbeats,
    members,
    podstatus,
    serviceclaims,
)
from tsujiban.controller.addresses import Addresses
from tsujiban.controller.alarms import Alarms
from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.distribution import Distributor, SignList, no_list
from tsujiban.controller.loop import DEFECTS, Call, Change, Loop, Planner, Work
from tsujiban.controller.pace import Pace
from tsujiban.controller.reconcile import (
    accounts,
    aggregation,
    apiservice,
    budgets,
    cronjobs,
    csrs,
    daemonsets,
    deployments,
    endpointlists,
    endpoints,
    garbage,
    gates,
    hostendpoints,
    jobs,
    replicasets,
    scheduler,
    services,
    statefulsets,
    taints,
)
from tsujiban.controller.reconcile.actions import Action, Planned
from tsujiban.controller.routes import moves, route
from tsujiban.controller.world import (
    FELIX_CONFIGURATIONS,
    IP_POOLS,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    Json,
    Ref,
    World,
    is_ready,
)
from tsujiban.flows.ring import FlowRing
from tsujiban.network.ipam import IpamError
from tsujiban.policy.graph import PolicyGraph
from tsujiban.resources.names import workload_identity
from tsujiban.resources.registry import KINDS
from tsujiban.store.protocol import AlreadyExists, Conflict, InvalidValue, Key, Store, StoreUnavailable
from tsujiban.wire.messages import (
    Enforced,
    Flow,
    Flows,
    Hello,
    NodeConfig,
    NodeStatus,
    PodStatus,
    ToController,
    ToNode,
)
from tsujiban.wire.transport import StreamRefused

log = structlog.get_logger(__name__)

Deliver = Callable[[str, ToNode], Awaitable[bool]]
Disconnect = Callable[[str, str], None]  # a node's stream, and why

CLEAN_SECONDS = 60.0
RECOUNT_SECONDS = 3.0  # from a change of a pod until what policies select is counted again
LISTS_SECONDS = 0.5  # from a change of a service's slices until its Endpoints follow: a list is long
MOVES_SECONDS = 0.5  # from a pod's move until those that wait for a place near others are looked at
LOOK_SECONDS = 1.0  # how often nodes are looked after
NODE_GRACE = 5.0  # seconds a node may be away before it is called not ready


class Plane:
    """One control plane. `send`, `disconnect` and `sign_request` are set by whoever owns the node server and
    the CA, before `run`."""

    def __init__(
        self, config: ControllerConfig, store: Store, bundle_pem: str, crl: SignList = no_list
    ) -> None:
        self._config = config
        self._store = store
        self._bundle_pem = bundle_pem
        self._addresses = Addresses()
        self.flows: FlowRing[Flow] = FlowRing()
        self.components: dict[str, tuple[float, NodeStatus]] = {}
        self.distributor = Distributor(PolicyGraph(config.trust_domain), self._send, crl)
        self.send: Deliver = _nowhere
        self.disconnect: Disconnect = _nobody
        self.sign_request: csrs.Sign = _no_signer
        self._configs: dict[str, NodeConfig] = {}  # what each connected node was last sent
        self._later: set[asyncio.Task[None]] = set()
        self._pace = Pace()
        self._reviewing = self._recounting = self._placing = False  # it is arranged for later
        self._lists: dict[Ref, None] = {}  # services whose Endpoints are to follow
        api = self._api = config.api_address
        self._pulse = heartbeats.Pulse()
        self._events = events.Recorder(store)
        self._alarms = Alarms(self._ring)
        self.loop = Loop(
            store,
            {(kind.group, kind.plural) for kind in KINDS},
            route,
            {
                "deployment": self._timed("deployment", deployments.plan),
                "replicaset": self._timed("replicaset", replicasets.plan),
                "statefulset": self._timed("statefulset", statefulsets.plan),
                "cronjob": self._timed("cronjob", cronjobs.plan),
                "job": self._timed("job", jobs.plan),
                "job-pod": jobs.released,
                "daemonset": self._timed("daemonset", daemonsets.plan),
                "schedule": self._schedule,
                "readiness": lambda w, r: gates.plan(w, r, time.time()),
                "service": services.Assigner(config.service_cidr, config.reserved_addresses).plan,
                "endpoints": endpoints.plan,
                "endpoint-list": endpointlists.plan,
                "orphaned-endpoints": endpointlists.orphaned,
                "budget": lambda w, r: budgets.plan(w, r, time.time()),
                "account": accounts.plan,
                "aggregate": aggregation.plan,
                "api-service": lambda w, _: apiservice.plan(w, api),
                "auto-host-endpoint": hostendpoints.plan,
                "csr": lambda w, r: csrs.plan(w, r, self.sign_request),
                "old-csr": lambda w, r: csrs.expired(w, r, time.time()),
                "old-event": lambda w, r: events.expired(w, r, time.time()),
                "garbage": lambda w, r: garbage.orphaned(w, r.name),
                "empty-namespace": lambda w, r: garbage.of_namespace(w, r.name),
                "terminated": garbage.terminated,
                "dependents": garbage.dependents,
                "taints": lambda w, r: taints.plan(w, r, time.time()),
                "leaving": lambda w, r: taints.leaving(w, r, time.time()),
                "empty-node": lambda w, r: garbage.of_node(w, r.name),
                "node-blocks": lambda w, r: members.with_blocks(w.get(r), self._addresses.held(r.name)),
                "policy-status": lambda w, r: enforcement.plan(w, r, self.distributor),
            },
            self._observe,
        )

    async def run(self) -> None:
        """Until cancelled."""
        first = bootstrap.initial_objects(self._config.pod_cidr, self._config.block_size)
        await bootstrap.ensure(self._store, first)
        await bootstrap.ensure_roles(self._store)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.loop.run())
            tasks.create_task(self._clean())
            tasks.create_task(self._repair_claims())
            tasks.create_task(self._look_after_nodes())
            tasks.create_task(self._events.run())
            tasks.create_task(self._alarms.run())
            await self.loop.synced.wait()
            for ref, _ in list(self.loop.world.all(NODES)):  # of before: they come back, or are not ready
                tasks.create_task(self._after_grace(ref.name))

    # ------------------------------------------------------------ what the node server calls

    async def hello(self, node: str, hello: Hello) -> None:
        """A node has connected; returns when everything it must have has been sent."""
        await self._in_loop(lambda: self._welcome(node, hello))

    async def message(self, node: str, message: ToController) -> None:
        """A node says something."""
        if isinstance(message, Enforced):
            await self.loop.submit(lambda: self._enforced(node, message))
        elif isinstance(message, PodStatus):
            await self.loop.submit(lambda: self._pod_status(node, message))
        elif isinstance(message, Flows):
            self.told(node, message)
        elif isinstance(message, NodeStatus):
            self.told(node, message)
            if self._pulse.heard(node, time.monotonic()):
                await self.loop.submit(lambda: self._beat(node))

    def told(self, node: str, message: NodeStatus | Flows) -> None:
        """What nodes tell every controller, so that each can be asked for it."""
        if isinstance(message, Flows):
            self.flows.extend(message.flows)
        else:
            self.components[node] = (time.time(), message)

    async def gone(self, node: str) -> None:
        """A node's stream has ended."""
        self._pulse.forget(node)
        await self.loop.submit(lambda: self._lost(node))
        self._in_background(self._after_grace(node))

    def pod_identity(self, node: str, pod: str) -> str | None:
        """The SPIFFE ID of a pod, if the store says that it runs on `node`."""
        namespace, _, name = pod.partition("/")
        found = self.loop.world.find(PODS, namespace, name)
        if found is None or found["spec"].get("nodeName") != node or found["spec"].get("hostNetwork"):
            return None
        account = found["spec"].get("serviceAccountName") or "default"
        return workload_identity(self._config.trust_domain, namespace, account)

    async def not_signed(self, pod: str, reason: str) -> None:
        """A pod gets no certificate, for its identity is revoked: those who look at it are told."""
        namespace, _, name = pod.partition("/")

        async def tell() -> None:
            found = self.loop.world.find(PODS, namespace, name)
            if found is not None:
                self._events.tell(self.loop.world, events.not_signed(found, reason))

        await self.loop.submit(tell)

    def account_exists(self, namespace: str, name: str) -> bool:
        """Whether the store has this service account."""
        return self.loop.world.find(SERVICE_ACCOUNTS, namespace, name) is not None

    # ------------------------------------------------------------ in the loop's task

    async def _in_loop(self, call: Call) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                await call()
            except StreamRefused as refusal:
                if not done.done():  # it is when the stream has ended meanwhile
                    done.set_exception(refusal)
            except DEFECTS:
                if not done.done():
                    done.set_exception(
                        StreamRefused("the controller failed over this node: its log says how")
                    )
                raise
            else:
                if not done.done():
                    done.set_result(None)

        await self.loop.submit(run)
        await done

    async def _observe(self, world: World, changes: Sequence[Change]) -> None:
        self._addresses.observe(world, changes)
        await self.distributor.observe(world, changes)
        self._note_lists(changes)
        if not self._placing and any(map(moves, changes)) and world.choosy():
            self._placing = True
            self._in_background(self._after(MOVES_SECONDS, self._place_choosy))
        for change in changes:
            if self.loop.synced.is_set():  # what was there before did not happen just now
                self._events.observe(world, change)
            if change.ref[:2] == NODES and change.new is None:
                self.components.pop(change.ref.name, None)
                self.disconnect(change.ref.name, "the node was deleted")
            elif change.ref[:2] == PODS and change.new is not None:
                node = change.new["spec"].get("nodeName", "")
                if members.with_blocks(world.find(NODES, "", node), self._addresses.held(node)):
                    self.loop.enqueue("node-blocks", Ref(*NODES, "", node))
        if any(change.ref[:2] in (NODES, IP_POOLS, FELIX_CONFIGURATIONS) for change in changes):
            await self._send_config()
        if self.distributor.moved and not self._recounting:
            self._recounting = True
            self._in_background(self._after(RECOUNT_SECONDS, self._recount))
        self._review_policies()

    def _note_lists(self, changes: Sequence[Change]) -> None:
        """Endpoints follow in a moment, once for all that happens until then."""
        waiting = bool(self._lists)
        for change in changes:
            self._lists.update(dict.fromkeys(endpointlists.concerned(change)))
        if self._lists and not waiting:
            self._in_background(self._after(LISTS_SECONDS, self._list_endpoints))

    async def _list_endpoints(self) -> None:
        due, self._lists = self._lists, {}
        for ref in due:
            self.loop.enqueue("endpoint-list", ref)

    async def _place_choosy(self) -> None:
        self._placing = False
        for ref, _ in self.loop.world.choosy():
            self.loop.enqueue("schedule", ref)

    async def _recount(self) -> None:
        self._recounting = False
        self.distributor.recount()
        self._review_policies()

    def _timed(self, name: str, plan: Callable[[World, Ref, float], Planned]) -> Planner:
        """A planner to which the clock matters: it is asked again when it says so."""

        def planner(world: World, ref: Ref) -> list[Action]:
            planned = plan(world, ref, time.time())
            self._alarms.set((name, ref), planned.again)
            return planned.actions

        return planner

    async def _ring(self, works: list[Work]) -> None:
        async def look() -> None:
            for name, ref in works:
                self.loop.enqueue(name, ref)

        await self.loop.submit(look)

    def _schedule(self, world: World, ref: Ref) -> list[Action]:
        return scheduler.plan(world, ref, lambda node, pod: self._addresses.allocate(world, node, pod))

    def _review_policies(self) -> None:
        due, again = self._pace.due(enforcement.waiting(self.loop.world, self.distributor))
        for ref in due:
            self.loop.enqueue("policy-status", ref)
        if again and not self._reviewing:
            self._reviewing = True
            self._in_background(self._after(again, self._review_again))

    async def _review_again(self) -> None:
        self._reviewing = False
        self._review_policies()

    async def _after(self, seconds: float, call: Call) -> None:
        """Have the loop do something in a while."""
        await asyncio.sleep(seconds)
        await self.loop.submit(call)

    def _in_background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _send(self, node: str, message: ToNode) -> None:
        await self.send(node, message)

    async def _welcome(self, node: str, hello: Hello) -> None:
        try:
            blocks = self._addresses.blocks(node)
        except IpamError as error:
            raise StreamRefused(str(error)) from error
        self._refuse_taken(node, hello)
        ref = Ref(*NODES, "", node)

        def registered(old: Json | None) -> Json:
            return members.registered(
                old, node, hello.addresses, blocks, hello.version, time.time(), hello.system, hello.capacity
            )

        if self.loop.world.get(ref) is None:
            try:
                await self.loop.create(ref, registered(None))
            except AlreadyExists as error:  # somebody has just written it; its event follows
                raise StreamRefused("the node is being registered; connect again") from error
        else:
            await self._modify(ref, registered)
        self._pulse.heard(node, time.monotonic())
        await self._beat(node)
        self._configs.pop(node, None)
        self.distributor.expect(node)
        await self._send_config()
        await self.distributor.connected(self.loop.world, node)

    def _refuse_taken(self, node: str, hello: Hello) -> None:
        """A node must not draw another's routes, or what policy lets a pod or a service have, to itself by
        claiming an address."""
        for ref, obj in self.loop.world.all(NODES):
            for entry in (obj.get("status") or {}).get("addresses", ()):
                if ref.name != node and entry.get("address") in hello.addresses:
                    raise StreamRefused(f"{entry['address']} is the address of node {ref.name!r}")
        networks = [ip_network(one) for one in (*self._addresses.pools(), self._config.service_cidr)]
        for address in hello.addresses:
            if any(ip_address(address) in network for network in networks):
                raise StreamRefused(f"{address} is of the network of pods or of services, where no node is")

    def _node_addresses(self) -> dict[str, str]:
        return {
            ref.name: entry["address"]
            for ref, obj in self.loop.world.all(NODES)
            for entry in (obj.get("status") or {}).get("addresses", ())
            if entry.get("type") == "InternalIP"
        }

    async def _send_config(self) -> None:
        """Tell every connected node of its peers and the cluster's networks, if they are news to it."""
        addresses = self._node_addresses()
        self.flows.share_out(self._addresses.pools())
        for node in addresses:
            if not self.distributor.is_connected(node):
                continue
            config = NodeConfig(
                trust_domain=self._config.trust_domain,
                trust_bundle_pem=self._bundle_pem,
                pod_blocks=self._addresses.held(node),
                pod_cidrs=self._addresses.pools(),
                service_cidrs=(self._config.service_cidr,),
                dns_address=self._config.dns_address,
                cluster_domain=self._config.cluster_domain,
                api_address=self._api.service if self._api else "",
                api_endpoints=tuple((one, self._api.port) for one in self._api.endpoints)
                if self._api
                else (),
                bgp_peers=tuple(sorted((n, a) for n, a in addresses.items() if n != node)),
                as_number=self._config.as_number,
                **felix.told(self.loop.world, node),
            )
            if self._configs.get(node) != config:
                self._configs[node] = config
                await self._send(node, config)

    async def _enforced(self, node: str, message: Enforced) -> None:
        self.distributor.enforced(node, message)
        self._review_policies()

    async def _pod_status(self, node: str, message: PodStatus) -> None:
        namespace, _, name = message.pod.partition("/")
        ref = Ref(*PODS, namespace, name)
        pod = self.loop.world.get(ref)
        if pod is None or pod["spec"].get("nodeName") != node or pod["metadata"]["uid"] != message.uid:
            return  # of a pod that is gone, or not this node's
        said = podstatus.read(message.status)
        if said is None:
            log.error("a node reports a status that is none", node=node, pod=message.pod)
            return

        def changed(current: Json) -> Json | None:
            if current["metadata"]["uid"] != message.uid:
                return None
            status = podstatus.merged(said, current, time.time())
            return None if status == current.get("status") else {**current, "status": status}

        await self._modify(ref, changed)

    async def _lost(self, node: str) -> None:
        self.distributor.disconnected(node)
        self._review_policies()

    async def _clean(self) -> None:
        """What goes by the clock: nothing changes in the world, so nothing else would look at it."""

        async def look() -> None:
            for ref in csrs.all_requests(self.loop.world):
                self.loop.enqueue("old-csr", ref)
            for ref, _ in list(self.loop.world.all(events.EVENTS)):
                self.loop.enqueue("old-event", ref)

        while True:
            await asyncio.sleep(CLEAN_SECONDS)
            await self.loop.submit(look)

    async def _repair_claims(self) -> None:
        """Keep what services have alone true to them; tell of those that share it."""
        while True:
            try:
                found = await serviceclaims.repair(self._store)
            except StoreUnavailable as error:
                log.warning("the addresses of services are not looked at", reason=str(error))
            else:
                for one in found:
                    await self._tell(events.shared(one.service, one.claim))
            await asyncio.sleep(serviceclaims.REPAIR_SECONDS)

    async def _tell(self, happened: events.Happened) -> None:
        async def tell() -> None:
            self._events.tell(self.loop.world, happened)

        await self.loop.submit(tell)

    async def _beat(self, node: str) -> None:
        """Renew a node's lease; a node that is heard again is ready again."""
        ref = heartbeats.lease_of(node)
        lease = heartbeats.renewed(self.loop.world, node, time.time())
        if lease is None:
            return
        if self.loop.world.get(ref) is None:
            with contextlib.suppress(AlreadyExists):  # somebody has just written it; its event follows
                await self.loop.create(ref, lease)
        else:
            await self._modify(ref, lambda _: heartbeats.renewed(self.loop.world, node, time.time()))
        await self._modify(
            Ref(*NODES, "", node),
            lambda current: None if is_ready(current) else members.ready(current, time.time()),
        )

    async def _look_after_nodes(self) -> None:
        """What goes by the clock of nodes: silence, and the patience of their pods."""

        async def look() -> None:
            for node in self._pulse.silent(time.monotonic()):
                await self._call_unheard(node)
            for ref in taints.tainted(self.loop.world):
                self.loop.enqueue("leaving", ref)
            for ref in budgets.promising(self.loop.world):
                self.loop.enqueue("budget", ref)

        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.loop.submit(look)

    async def _after_grace(self, node: str) -> None:
        await asyncio.sleep(NODE_GRACE)
        await self.loop.submit(lambda: self._call_not_ready(node))

    async def _call_not_ready(self, node: str) -> None:
        found = self.loop.world.find(NODES, "", node)
        progress = self.distributor.nodes.get(node)
        if found is not None and progress is not None and not progress.connected:
            await self._call_unheard(node)

    async def _call_unheard(self, node: str) -> None:
        await self._modify(
            Ref(*NODES, "", node),
            lambda current: members.unheard(current, time.time()) if is_ready(current) else None,
        )

    async def _modify(self, ref: Ref, change: Callable[[Json], Json | None]) -> None:
        try:
            await self.loop.modify(ref, change)
        except (Conflict, InvalidValue) as error:  # others write without pause; it is larger than may be
            log.error("an object is not written", object=str(Key(*ref)), reason=str(error))


def _no_signer(_spec: Json) -> str | None:
    return None


def _nobody(_node: str, _reason: str) -> None:
    return None


async def _nowhere(_node: str, _message: ToNode) -> bool:
    return False
