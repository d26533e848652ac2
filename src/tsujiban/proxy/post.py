"""The proxy post of a node: every proxy's resources, served and followed until they are in force.

The agent tells it pods, keys and states; it tells the agent when a revision is enforced. A
proxy that is not connected enforces nothing and passes nothing, so it is not waited for: it gets
the current state when it comes. Pods have a sidecar each, or share the node's Envoy.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from tsujiban.identity.svid import Svid
from tsujiban.policy.program import NodeState
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.channel import Channel
from tsujiban.proxy.guard import Authorize
from tsujiban.proxy.owners import Owners
from tsujiban.proxy.parting import Parting
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.pod import ServedPod
from tsujiban.proxy.programs import Programs
from tsujiban.proxy.site import NodeSite, Site

ANSWER_SECONDS = 2.0
_FORMER = 1000  # owners of addresses that are remembered for pods that are taken up later


class ProxyPost:
    """All proxies of a node. Belongs to one event loop."""

    def __init__(
        self, pod_cidrs: Iterable[str], owners: Owners, events: Callable[[ProxyEvent], None] | None = None
    ) -> None:
        """`pod_cidrs`: all nodes' pod networks; an address in them that is no known peer's is
        refused. `owners`: what all proxies see of who owns which address. `events` receives every access
        log record."""
        self._pod_cidrs = tuple(pod_cidrs)
        self._events = events or (lambda _: None)
        self._state = NodeState()
        self._peers = Peers()
        self._programs = Programs()
        self._owners = owners
        self._former: dict[str, str] = {}  # owners, of the addresses that have changed hands last
        self._dirty: dict[str, None] = {}  # endpoints that are to be rendered, in order
        self._rendering: asyncio.Task[None] | None = None
        self._pods: dict[str, tuple[ServedPod, Channel]] = {}
        self._shared: Channel | None = None  # the node's own Envoy
        self._svids: dict[str, Svid] = {}
        self._moved = asyncio.Event()
        # Whether the node's Envoy is told to remove what no pod here needs; not before all pods are known.
        self.remove_from_shared = True

    async def add(
        self, endpoint_id: str, socket_path: Path, uid: int, authorize: Authorize | None = None
    ) -> None:
        """Serve a pod's sidecar on `socket_path`, to processes of `uid` that `authorize(pid, uid)`
        lets in as well. The directory must exist, 0700, owned by `uid`.

        Raises OSError when the socket cannot be made, ValueError when the pod is served already.
        """
        self._refuse_known(endpoint_id)

        def rendered() -> bool:
            return endpoint_id not in self._dirty

        channel = Channel(
            socket_path, uid, authorize, self._move, rendered, rendered, self._sequence, self._again
        )
        await channel.open()

        def namespace() -> str:
            return f"/proc/{channel.pid}/ns/net" if channel.pid else ""

        self._join(channel, self._pod(endpoint_id, Site(owners=self._owners.seen), namespace))

    async def share(self, socket_path: Path, uid: int, authorize: Authorize | None = None) -> None:
        """Serve the node's Envoy on `socket_path`; otherwise as `add`."""
        if self._shared is not None:
            raise ValueError("the node's proxy is served already")
        channel = Channel(
            socket_path,
            uid,
            authorize,
            self._move,
            self._remove_from_shared,
            lambda: not self._dirty,
            self._sequence,
            self._again,
        )
        await channel.open()
        self._shared = channel
        channel.push(self._state.revision)

    def _remove_from_shared(self) -> bool:
        return self.remove_from_shared and not self._dirty

    def push_shared(self) -> None:
        """Send the node's Envoy, if there is one, what it should hold."""
        if self._shared is not None:
            self._shared.push(self._state.revision)

    def add_shared(self, endpoint_id: str, namespace: str) -> None:
        """Serve a pod, whose network namespace is at path `namespace`, by the node's Envoy.

        Raises ValueError when the pod, or another one there, is served already, or that Envoy is not.
        """
        self._refuse_known(endpoint_id)
        if self._shared is None:
            raise ValueError("the node's proxy is not served yet")
        site = NodeSite(namespace=namespace, owners=self._owners.seen)
        pod = self._pod(endpoint_id, site, lambda: namespace)
        if self._shared.serves(pod):
            raise ValueError(f"another pod in {namespace} is served already")
        self._join(self._shared, pod)

    def _pod(self, endpoint_id: str, site: Site, namespace: Callable[[], str]) -> ServedPod:
        pod = ServedPod(
            endpoint_id,
            site,
            namespace,
            self._events,
            self._programs,
            partial(self._owners.took, endpoint_id),
        )
        pod.moved(self._former)  # it may have been there before, and this agent not
        return pod

    def _again(self, endpoint_id: str) -> None:
        self._render([endpoint_id])

    def _sequence(self) -> int:
        return self._owners.sequence

    def _refuse_known(self, endpoint_id: str) -> None:
        if endpoint_id in self._pods:
            raise ValueError(f"the proxy of {endpoint_id} is served already")

    def _join(self, channel: Channel, pod: ServedPod) -> None:
        self._pods[pod.endpoint] = (pod, channel)
        channel.join(pod)
        if pod.endpoint in self._svids:
            pod.certify(self._svids[pod.endpoint])
        self._render([pod.endpoint])

    def part(self, endpoint_id: str, parting: Parting) -> None:
        """A pod ends: its proxy takes leave so far. Unknown pods are no error."""
        if endpoint_id in self._pods:
            self._pods[endpoint_id][0].renderer.parting = parting
            self._render([endpoint_id])

    async def remove(self, endpoint_id: str) -> None:
        """Stop serving a pod, forget its key, remove its socket. Unknown pods are no error."""
        self._svids.pop(endpoint_id, None)
        if endpoint_id not in self._pods:
            return
        pod, channel = self._pods.pop(endpoint_id)
        self._dirty.pop(endpoint_id, None)
        channel.leave(pod)
        self._owners.forget(endpoint_id)
        if channel is self._shared:
            self.push_shared()
            with contextlib.suppress(TimeoutError):  # it goes on without; its sockets may be bound still
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._answered(channel)
        else:
            await channel.close(unlink=True)
        self._move()

    async def _answered(self, channel: Channel) -> None:
        """Wait until an Envoy has answered all that it was sent."""
        while not channel.settled(self._state.revision):
            self._moved.clear()
            await self._moved.wait()

    async def close(self) -> None:
        """Stop serving. Proxies go on with what they hold."""
        channels = self._channels()
        if self._rendering is not None:
            self._rendering.cancel()
        self._pods.clear()
        self._shared = None
        for channel in channels:
            await channel.close()

    def _channels(self) -> list[Channel]:
        own = [channel for _, channel in self._pods.values() if channel is not self._shared]
        return own if self._shared is None else [*own, self._shared]

    def set_secret(self, endpoint_id: str, svid: Svid) -> None:
        """Give a pod's proxy its certificate, key and trust bundle, or new ones."""
        self._svids[endpoint_id] = svid
        if endpoint_id in self._pods:
            pod, channel = self._pods[endpoint_id]
            pod.certify(svid)
            channel.push(self._state.revision)

    def set_pod_cidrs(self, pod_cidrs: Iterable[str]) -> None:
        """The cluster's pod networks changed."""
        networks = tuple(pod_cidrs)
        if networks != self._pod_cidrs:
            self._pod_cidrs = networks
            self.update(self._state)

    def update(self, state: NodeState, touched: Iterable[str] | None = None) -> None:
        """Take a new state. `touched` are the endpoints it means anything for; None is all. They are
        rendered one by one, and others have their turn in between."""
        self._state = state
        moved = self._peers.take(state.peers)
        self._programs.moved(moved)
        for _, channel in self._pods.values():
            channel.moved(moved)
        if state.revision:  # before the first one nobody is known, and what an agent before has said counts
            self._change_hands(self._owners.take(moved, self._peers))
        concerned = self._pods.keys() if touched is None or moved else set(touched) & self._pods.keys()
        self._render(name for name in self._pods if name in concerned)

    def _change_hands(self, former: dict[str, str]) -> None:
        kept = [one for one in self._former if one not in former][-_FORMER:]
        self._former = {one: self._former[one] for one in kept} | former
        for pod, _ in self._pods.values():
            pod.moved(former)

    def _render(self, endpoints: Iterable[str]) -> None:
        self._dirty.update(dict.fromkeys(endpoints))
        if self._rendering is None:
            self._rendering = asyncio.create_task(self._render_all(), name="render")
            self._rendering.add_done_callback(lambda _: self._move())  # also when it has failed

    async def _render_all(self) -> None:
        """Render what is to be rendered, and tell the Envoys; the one of the node, of all at once."""
        while self._dirty:
            endpoint_id = next(iter(self._dirty))
            pod, channel = self._pods[endpoint_id]
            pod.render(self._state, self._pod_cidrs, self._peers)
            del self._dirty[endpoint_id]
            if channel is not self._shared:
                channel.push(self._state.revision)
            await asyncio.sleep(0)
        for channel in self._channels():
            channel.push(self._state.revision)
        self._rendering = None

    @property
    def _rendered(self) -> bool:
        """Whether everything is rendered. Raises what rendering has failed with."""
        if self._rendering is not None and self._rendering.done():
            self._rendering.result()
        return self._rendering is None

    def connected(self) -> frozenset[str]:
        """Endpoints whose proxy has a stream open."""
        return frozenset(name for name, (_, channel) in self._pods.items() if channel.sessions)

    @property
    def shared_pid(self) -> int:
        """The process that is the node's Envoy; 0 while it is not connected."""
        return self._shared.pid if self._shared is not None and self._shared.sessions else 0

    @property
    def shared_versions(self) -> tuple[str, ...]:
        """As `versions`, of the node's Envoy."""
        return self._shared.versions if self._shared is not None else ()

    def versions(self, endpoint_id: str) -> tuple[str, ...]:
        """Version of the Envoy that serves a pod; two, while an old one goes on beside it; none, when it is
        not connected."""
        return self._pods[endpoint_id][1].versions if endpoint_id in self._pods else ()

    def ready(self, endpoint_id: str, version: str = "") -> bool:
        """Whether a pod's proxy (of this version, if one is named) is connected and has accepted all that it
        was sent for the pod."""
        if endpoint_id not in self._pods or endpoint_id not in self._state.endpoints:
            return False
        if endpoint_id in self._dirty:
            return False
        pod, channel = self._pods[endpoint_id]
        return channel.ready(pod, version)

    async def until_ready(self, endpoint_id: str, version: str = "") -> None:
        """Wait until a pod's proxy is `ready`."""
        while not self.ready(endpoint_id, version):
            self._moved.clear()
            await self._moved.wait()

    async def enforced(self, revision: int) -> tuple[str, ...]:
        """Wait until every connected proxy has answered what `revision` means for it; what they
        refused, as `endpoint: reason`. Empty: it is in force, and uninspected connections that it
        denies have been ended."""
        while not self._settled(revision):
            self._moved.clear()
            await self._moved.wait()
        for pod, _ in list(self._pods.values()):
            await pod.end_denied()
        return self.problems()

    def problems(self) -> tuple[str, ...]:
        """What connected proxies have refused, as `endpoint: reason`."""
        found = tuple(
            f"{name}: {reason}"
            for name, (pod, channel) in sorted(self._pods.items())
            for reason in channel.problems(pod)
        )
        return (*found, self._owners.problem) if self._owners.problem else found

    def _settled(self, revision: int) -> bool:
        return (
            self._state.revision >= revision
            and self._rendered
            and all(channel.settled(revision) for channel in self._channels())
        )

    def _move(self) -> None:
        self._moved.set()
