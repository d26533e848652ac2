"""Pods in the mesh without sidecars: one Envoy for all of them, outside of every pod.

It listens inside each pod's network namespace and its connections leave from there, so it needs to
enter namespaces (CAP_SYS_ADMIN) and to mark its sockets (CAP_NET_ADMIN), and has no other right: its own
user, a file system view of its own, a seccomp filter that takes from the two capabilities whatever
they are not there for. Its own network namespace is an empty one: what does not say which pod it is
for goes nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Mapping, Set
from pathlib import Path

import msgspec
import structlog

from tsujiban.agent.containers import Place, sandbox_of
from tsujiban.agent.descriptors import Descriptors
from tsujiban.agent.proxy_init import RENEW
from tsujiban.agent.proxyroom import INSIDE, OWNERS, command, mounts, proxy_room
from tsujiban.agent.sidecars import READY_SECONDS, SOCKET, make_directory
from tsujiban.identity.rotation import SvidManager
from tsujiban.kernel import redirect
from tsujiban.policy.program import EndpointProgram
from tsujiban.proxy import binary
from tsujiban.proxy.bootstrap import bootstrap, shared_heap, workers
from tsujiban.proxy.post import ProxyPost
from tsujiban.proxy.site import PROXY_MARK
from tsujiban.resources.kinds.core import Pod
from tsujiban.supervise.client import ProcessStatus, SupervisorClient
from tsujiban.supervise.netns import listens_on
from tsujiban.supervise.spec import ProcessSpec

log = structlog.get_logger(__name__)

LISTEN_TRIES, LISTEN_SECONDS = 40, 0.05
RESUME_SECONDS = 30.0  # after that, what no pod has asked for is removed
PROXY_UID = 400_000  # and the last two bytes of the node's address: nodes of one machine differ


def process_name(node: str) -> str:
    """The supervisor's name of a node's Envoy."""
    return f"{node}/proxy"


class NodeProxy:
    """The Envoy of this node: a `PodMesh`. It is started for the first pod that wants it, and stays."""

    def __init__(
        self,
        node: str,
        address: str,
        run_dir: Path,
        post: ProxyPost,
        svids: SvidManager,
        supervisor: SupervisorClient,
        wanted: Callable[[], Set[str]],
    ) -> None:
        """`wanted` tells the endpoints that it may be asked to serve, of those known now."""
        self._node = node
        self._uid = PROXY_UID + (int(ipaddress.ip_address(address)) & 0xFFFF)
        self._run_dir = run_dir
        self._post = post
        post.remove_from_shared = False  # until `resume` knows what an Envoy from before is needed for
        self._svids = svids
        self._supervisor = supervisor
        self._wanted = wanted
        self._binary = binary.locate()
        self._served: dict[str, str] = {}  # endpoint id -> pod uid
        self._starting = asyncio.Lock()
        self._joined = asyncio.Event()  # some pod has
        self._open = False
        self._resumed = asyncio.Event()
        self._unneeded = False  # known not to run: no pod has asked for it
        self._namespaces: dict[str, str] = {}  # of the pods that are led to it, by endpoint id
        self.descriptors = Descriptors(self._uid, lambda: post.shared_pid, lambda: dict(self._namespaces))
        self._serving: dict[str, int] = {}  # pid of the Envoy that has been seen to serve an endpoint

    @property
    def directory(self) -> Path:
        """Its own directory, as the node sees it."""
        return self._run_dir / "proxy"

    @property
    def _stage(self) -> Path:
        return self._run_dir / "proxy-root"

    @property
    def pods(self) -> frozenset[str]:
        """The endpoints that it serves."""
        return frozenset(self._served)

    async def join(self, key: str, pod: Pod, place: Place, program: EndpointProgram) -> None:
        """See `PodMesh.join`."""
        sandbox = sandbox_of(pod, place)
        await self._start()
        if self._served.get(key) != pod.metadata.uid:
            await self._serve(key, sandbox.netns_path)
            self._served[key] = pod.metadata.uid
            self._joined.set()
        self._svids.ensure(key, program.identity)
        async with asyncio.timeout(READY_SECONDS):
            await self._svids.until(key)
            await self._post.until_ready(key)
        if not await self._listens(sandbox.netns_path):
            await self._serve_again(key, sandbox.netns_path)
        mine = redirect.Redirect(proxy_mark=PROXY_MARK)
        async with self.descriptors.lock:
            await asyncio.to_thread(redirect.apply, sandbox.netns_path, mine)
            self._namespaces[key] = sandbox.netns_path
            self.descriptors.crowded -= {key}

    async def _serve(self, key: str, netns_path: str) -> None:
        await self._post.remove(key)
        self._post.add_shared(key, netns_path)
        svid = self._svids.get(key)
        if svid is not None:
            self._post.set_secret(key, svid)

    async def _serve_again(self, key: str, netns_path: str) -> None:
        """Have Envoy bind the pod's listeners anew: its own are in a namespace that was at this path before,
        which an update does not tell it. Raises OSError when that does not help."""
        await self._resumed.wait()  # nothing is removed from an Envoy before
        log.warning("the pod's namespace was made anew: its listeners are, too", pod=key, path=netns_path)
        async with asyncio.timeout(READY_SECONDS):
            await self._serve(key, netns_path)
            await self._post.until_ready(key)
        if not await self._listens(netns_path):
            raise OSError(f"the node's proxy does not listen in {netns_path}")

    async def _listens(self, netns_path: str) -> bool:
        """Whether Envoy's listeners are in the namespace that is at this path now."""
        for _ in range(LISTEN_TRIES):  # they open a moment after it has taken them
            if await asyncio.to_thread(listens_on, netns_path, redirect.Redirect.outbound_port):
                return True
            await asyncio.sleep(LISTEN_SECONDS)
        return False

    async def leave(self, key: str, pod: Pod, place: Place) -> None:
        """See `PodMesh.leave`."""
        if self._served.get(key) == pod.metadata.uid:
            del self._served[key]
            self._serving.pop(key, None)
            async with self.descriptors.lock:
                self._namespaces.pop(key, None)
            await self._post.remove(key)
            self._svids.remove(key)

    def ready(self, key: str) -> bool:
        """See `PodMesh.ready`."""
        return self._post.ready(key) and self._svids.get(key) is not None

    def serves(self, key: str, processes: Mapping[str, ProcessStatus]) -> bool:
        """See `PodMesh.serves`."""
        pid = self._post.shared_pid
        if not pid or key not in self._served:
            return False
        if self.ready(key):
            self._serving[key] = pid
        return self._serving.get(key) == pid

    async def behind(self) -> tuple[str, ...]:
        """See `PodMesh.behind`. When it does not run, its pods are closed."""
        if self._unneeded or self._post.shared_pid or not await self._running():
            return ()
        return (f"{process_name(self._node)} has not come back yet",)

    async def _running(self) -> bool:
        name = process_name(self._node)
        return any(one.name == name and one.state == "running" for one in await self._supervisor.list(name))

    async def resume(self) -> None:
        """Take up the Envoy that an agent before this one has left running, if there is one.

        It holds the listeners of all pods, and is told to remove none before this agent knows its pods
        again: their connections go on. To be called once, when the pods are known that this agent
        remembers. Raises OSError, Refused."""
        if await self._running():
            await self._start()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESUME_SECONDS):
                    await self._all_joined()
        elif not self._open:
            self._unneeded = True
        self._post.remove_from_shared = True
        self._post.push_shared()
        self._resumed.set()
        await self._renew()

    async def _renew(self) -> None:
        """Have an Envoy of the installed version take over from one of another version."""
        there = self._post.shared_versions
        if there and binary.version() not in there:
            log.info("a new Envoy takes over", old=sorted(there), new=binary.version())
            await self.hand_over()

    async def hand_over(self) -> None:
        """Have a new Envoy take over from the one that runs. Connections that are open stay with the old
        one, which goes on for `PARENT_SECONDS` at most. Raises OSError, Refused."""
        await self._supervisor.kill(process_name(self._node), RENEW)

    async def _all_joined(self) -> None:
        while not self._wanted() <= self._served.keys():
            self._joined.clear()
            await self._joined.wait()

    async def _start(self) -> None:
        async with self._starting:
            if not self._open:
                config = bootstrap(self._node, Path(INSIDE, SOCKET), heap=shared_heap())
                encoded = msgspec.json.encode(config)
                await asyncio.to_thread(make_directory, self.directory, self._uid, encoded)
                self._stage.mkdir(mode=0o700, exist_ok=True)
                await self._post.share(self.directory / SOCKET, self._uid)
                self._open = True
            self._unneeded = False
            await self._supervisor.start(self.process(), replace=True)

    def process(self) -> ProcessSpec:
        """The process of this node's Envoy."""
        return proxy_room(
            process_name(self._node),
            command(self._binary, workers()),
            stage=self._stage,
            uid=self._uid,
            mounts=mounts(self.directory, self._run_dir / OWNERS, self._binary),
        )
