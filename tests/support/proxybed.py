"""Pods in real network namespaces, with real Envoys (one each, or one for all of them), and an
agent's proxy post beside them.

Applications are threads of the test whose sockets live in the pods' namespaces: the redirect
catches them by namespace and user, as it would catch any process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from tests.support.pki import Pki
from tests.support.wait import PATIENCE

from tsujiban.identity.keys import create_csr, key_to_pem, new_key
from tsujiban.identity.svid import Svid
from tsujiban.kernel import redirect
from tsujiban.policy.program import (
    Action,
    EndpointProgram,
    Mesh,
    NodeState,
    Peer,
    PolicyProgram,
    Rule,
    Tier,
)
from tsujiban.proxy import binary, names
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.bootstrap import argv, bootstrap, workers
from tsujiban.proxy.owners import Owners
from tsujiban.proxy.post import ProxyPost
from tsujiban.proxy.site import PROXY_MARK
from tsujiban.supervise import netns

T = TypeVar("T")
DRAINING = "s_draining"  # listener_manager.total_listeners_draining, .total_filter_chains_draining
POD_CIDR = "10.244.0.0/16"
ALLOW_ALL = PolicyProgram(
    id="_profile/kns.default",
    ingress=(Rule(id="_profile/kns.default/ingress/0", action=Action.ALLOW),),
    egress=(Rule(id="_profile/kns.default/egress/0", action=Action.ALLOW),),
)
_number = itertools.count(1)


def run(*command: str) -> str:
    """Run a command; its output. Raises CalledProcessError."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def until(what: str, condition: Callable[[], T], timeout: float = PATIENCE) -> T:
    """Poll until the condition is true; its value. Raises AssertionError on the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.01)


def twin(net: str) -> str:
    """The IPv6 address or network that stands for an IPv4 one: its numbers are the last 32 bits."""
    address, slash, length = net.partition("/")
    made = ipaddress.IPv6Address((0xFD44 << 112) | int(ipaddress.IPv4Address(address)))
    return f"{made}{slash}{int(length) + 96 if slash else ''}"


def tier(*policies: str, direction: str = "ingress") -> Tier:
    """The default tier with these policies."""
    return Tier(
        name="default",
        default_action=Action.DENY,
        default_id=f"_tier/default/{direction}/default",
        policies=policies,
    )


class Envoy:
    """One Envoy process, started as the supervisor would start it."""

    def __init__(self, name: str, directory: Path, uid: int, command: list[str], *, workers: int = 1) -> None:
        self.directory = directory
        self._workers = workers
        self.socket_path = directory / "proxy.sock"
        self.log = directory.parent / f"{directory.name}.log"
        self.uid = uid
        self._name = name
        self.heap = 0  # bytes; see `bootstrap`
        self._command = [*command, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(mode=0o700)
        os.chown(directory, uid, uid)

    def start(self) -> None:
        """Start it."""
        config = self.directory / "bootstrap.json"
        content = bootstrap(self._name, self.socket_path, self.directory / "admin.sock", heap=self.heap)
        content["stats_config"]["stats_matcher"] = {"inclusion_list": {"patterns": [{"suffix": DRAINING}]}}
        config.write_text(json.dumps(content, default=list))  # list: of `Encoded` messages
        level = os.environ.get("ENVOY_LOG", "warning")
        with self.log.open("ab") as log:
            arguments = argv(binary.locate(), config, concurrency=self._workers, log_level=level)
            command = [*self._command, *arguments]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def trouble(self) -> str:
        """How it ended, and its last words; "" while it runs."""
        code = "it was not started" if self._process is None else self._process.poll()
        if code is None:
            return ""
        words = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
        return f"Envoy {self._name} has ended ({code}):\n{words}"

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def admin(self, path: str) -> str:
        """Ask its own interface."""
        return run("curl", "-s", "--unix-socket", str(self.directory / "admin.sock"), f"http://x{path}")

    def draining(self) -> int:
        """How many listeners, or chains of them, have been changed and have not let go of all connections."""
        found = [line.rpartition(": ")[2] for line in self.admin("/stats").splitlines()]
        assert len(found) == 2, found
        return sum(map(int, found))


class Pod:
    """One pod: a namespace with an address, and perhaps an Envoy of its own."""

    def __init__(self, bed: Bed, name: str, address: str, mesh: Mesh, uid: int) -> None:
        self.bed = bed
        self.name = name
        self.id = f"default/{name}"
        self.address = address
        self.mesh = mesh
        self.uid = uid
        self.identity = bed.identity(name)
        self.namespace = f"{bed.prefix}-{name}"
        self.path = f"/run/netns/{self.namespace}"
        self.envoy: Envoy | None = None

    def inside(self, work: Callable[[], T]) -> T:
        """Run something in the pod's namespace."""
        return netns.call_in(self.path, work)

    def connect(self, address: str, port: int, timeout: float = PATIENCE) -> socket.socket:
        """The application's connect()."""
        return self.inside(lambda: socket.create_connection((address, port), timeout))

    def listen(self, port: int, serve: Callable[[socket.socket], None], *, dual: bool = False) -> None:
        """An application: `serve` gets each connection, in a thread. `dual`: over IPv6 as well."""
        family = socket.AF_INET6 if dual else socket.AF_INET
        listener = self.inside(
            lambda: socket.create_server(("", port), family=family, backlog=64, dualstack_ipv6=dual)
        )
        self.bed.sockets.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_quietly, args=(serve, connection), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def add_ipv6(self) -> str:
        """Give it an IPv6 address as well, which is its twin (see `twin`); the address."""
        bed, address = self.bed, twin(self.address)
        run("ip", "-n", self.namespace, "-6", "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
        endpoint = bed.state.endpoints[self.id]
        bed.state.endpoints[self.id] = msgspec.structs.replace(endpoint, addresses=(self.address, address))
        bed.state.peers[address] = msgspec.structs.replace(bed.state.peers[self.address], address=address)
        return address

    def start_envoy(self) -> None:
        """Start the pod's Envoy: the node's, when it has none of its own."""
        assert self.envoy is not None
        self.envoy.start()

    def stop_envoy(self) -> None:
        """Kill the pod's Envoy."""
        if self.envoy is not None:
            self.envoy.stop()

    def listening(self) -> bool:
        """Whether both of the proxy's listeners are open, which is a moment after it has taken them."""
        return all(netns.listens_on(self.path, port) for port in (names.INBOUND_PORT, names.OUTBOUND_PORT))

    def admin(self, path: str) -> str:
        """Ask its own interface."""
        assert self.envoy is not None
        return self.envoy.admin(path)


def _user(index: int) -> int:
    return 260000 + os.getpid() % 1000 * 20 + index


def _quietly(serve: Callable[[socket.socket], None], connection: socket.socket) -> None:
    try:
        with connection:
            serve(connection)
    except OSError:
        return


class Bed:
    """A cluster for one test: pods on a bridge, an authority, an agent's proxy post.

    `mesh` is how pods take part when they do not say."""

    def __init__(self, directory: Path, mesh: Mesh = Mesh.SIDECAR) -> None:
        self.directory = directory
        self.mesh = mesh
        self.node_envoy: Envoy | None = None
        self.workers = workers()  # of the node's Envoy
        self.heap = 0  # of the node's Envoy
        self._index = 0
        self.prefix = f"tsjx{os.getpid()}-{next(_number)}"
        self.pki = Pki(directory / "pki")
        self.pods: dict[str, Pod] = {}
        self.sockets: list[socket.socket] = []
        self.events: list[ProxyEvent] = []
        self.state = NodeState(revision=1, policies={ALLOW_ALL.id: ALLOW_ALL})
        self._namespaces: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.post: ProxyPost | None = None
        self._netns(f"{self.prefix}-net")
        run("ip", "-n", f"{self.prefix}-net", "link", "add", "br0", "type", "bridge")
        run("ip", "-n", f"{self.prefix}-net", "addr", "add", "10.244.255.254/16", "dev", "br0")
        run("ip", "-n", f"{self.prefix}-net", "addr", "add", "192.0.2.1/24", "dev", "br0")
        run("ip", "-n", f"{self.prefix}-net", "link", "set", "br0", "up")
        self.start_agent()

    def _netns(self, name: str) -> None:
        run("ip", "netns", "add", name)
        self._namespaces.append(name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    @property
    def network(self) -> str:
        """Namespace path of what lies outside the pods."""
        return f"/run/netns/{self.prefix}-net"

    def outside(self, work: Callable[[], T]) -> T:
        """Run something outside the pods."""
        return netns.call_in(self.network, work)

    def identity(self, name: str) -> str:
        """SPIFFE ID of the service account of that name."""
        return f"spiffe://{self.pki.trust_domain}/ns/default/sa/{name}"

    # ------------------------------------------------------------ the agent

    def agent(self, work: Coroutine[Any, Any, T], timeout: float = PATIENCE) -> T:
        """Run a coroutine in the agent."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def start_agent(self) -> None:
        """A new proxy post, as after an agent's start: it renders everything anew."""

        async def start() -> None:
            self.post = ProxyPost([POD_CIDR], Owners(self.directory / "owners"), self.events.append)
            self.post.update(self.state)
            await self._serve_node()
            for pod in self.pods.values():
                await self._serve(pod)

        self.agent(start())

    async def _serve(self, pod: Pod) -> None:
        assert self.post is not None
        if pod.mesh is Mesh.NONE or pod.envoy is None:
            return
        self.post.set_secret(pod.id, self.svids[pod.id])
        if pod.mesh is Mesh.NODE:
            self.post.add_shared(pod.id, pod.path)
        else:
            await self.post.add(pod.id, pod.envoy.socket_path, pod.uid)

    async def _serve_node(self) -> None:
        assert self.post is not None
        if self.node_envoy is not None:
            await self.post.share(self.node_envoy.socket_path, self.node_envoy.uid)

    def start_node_envoy(self) -> Envoy:
        """The node's Envoy, in an empty network namespace, with the two capabilities that it needs."""
        command = ["unshare", "--net", "setpriv", "--inh-caps=-all,+net_admin,+sys_admin"]
        command += ["--ambient-caps=-all,+net_admin,+sys_admin", "--bounding-set=-all,+net_admin,+sys_admin"]
        self.node_envoy = Envoy("node-1", self.directory / "node", _user(0), command, workers=self.workers)
        self.node_envoy.heap = self.heap
        self.agent(self._serve_node())
        self.node_envoy.start()
        return self.node_envoy

    def kill_agent(self) -> None:
        """The agent goes without a farewell to anybody."""
        assert self.post is not None
        self.agent(self.post.close())
        self.post = None

    def update(self, **changes: Any) -> tuple[str, ...]:
        """Change the state, wait until it is enforced; what was refused."""
        self.state.revision += 1
        for table, entries in changes.items():
            current = getattr(self.state, table)
            for name, entry in entries.items():
                if entry is None:
                    current.pop(name, None)
                else:
                    current[name] = entry
        revision = self.state.revision

        async def work() -> tuple[str, ...]:
            assert self.post is not None
            self.post.update(self.state)
            return await self.post.enforced(revision)

        return self.agent(work())

    @property
    def svids(self) -> dict[str, Svid]:
        """Every pod's current identity."""
        return {pod.id: self._svids[pod.id] for pod in self.pods.values() if pod.id in self._svids}

    _svids: dict[str, Svid]

    def issue(self, identity: str, pki: Pki | None = None, lifetime: float = 3600) -> Svid:
        """An identity signed by the authority."""
        authority = pki or self.pki
        key = new_key()
        chain = authority.ca.sign_workload(create_csr(key, []), identity, lifetime)
        now = time.time()
        return Svid(
            spiffe_id=identity,
            chain_pem=chain,
            key_pem=key_to_pem(key),
            bundle_pem=authority.ca.bundle_pem,
            not_before=now,
            not_after=now + lifetime,
        )

    # ------------------------------------------------------------ pods

    def pod(self, name: str, *, mesh: Mesh | None = None, at: str = "", **program: Any) -> Pod:
        """A pod, its place in the state, and its proxy, listening; `at` the address of one that has gone."""
        self._index += not at
        index = int(at.rpartition(".")[2]) if at else self._index
        mesh = self.mesh if mesh is None else mesh
        pod = Pod(self, name, f"10.244.0.{index}", mesh, _user(index))
        self._netns(pod.namespace)
        self._link(pod, f"v{index}")
        self.pods[name] = pod
        self.state.endpoints[pod.id] = EndpointProgram(
            id=pod.id,
            node="node-1",
            addresses=(pod.address,),
            identity=pod.identity,
            mesh=mesh,
            profiles=(ALLOW_ALL.id,),
            **program,
        )
        self.state.peers[pod.address] = Peer(
            address=pod.address,
            endpoint=pod.id,
            identity=pod.identity if mesh is not Mesh.NONE else "",
            mesh=mesh,
        )
        if mesh is not Mesh.NONE:
            self._svids = {**getattr(self, "_svids", {}), pod.id: self.issue(pod.identity)}
            self._proxy(pod)
        return pod

    def _link(self, pod: Pod, link: str) -> None:
        net = f"{self.prefix}-net"
        run("ip", "-n", net, "link", "add", link, "type", "veth", "peer", "eth0", "netns", pod.namespace)
        run("ip", "-n", net, "link", "set", link, "master", "br0", "up")
        run("ip", "-n", pod.namespace, "addr", "add", f"{pod.address}/16", "dev", "eth0")
        run("ip", "-n", pod.namespace, "link", "set", "eth0", "up")
        run("ip", "-n", pod.namespace, "route", "add", "default", "via", "10.244.255.254")

    def remake(self, pod: Pod) -> None:
        """Another network namespace takes the place of the pod's, redirect and all."""
        run("ip", "-n", pod.namespace, "link", "del", "eth0")
        run("ip", "netns", "del", pod.namespace)
        run("ip", "netns", "add", pod.namespace)
        run("ip", "-n", pod.namespace, "link", "set", "lo", "up")
        self._link(pod, f"w{pod.uid % 1000}")
        redirect.apply(pod.path, redirect.Redirect(proxy_mark=PROXY_MARK))

    def rejoin(self, pod: Pod) -> None:
        """Take a pod of the node's Envoy from it, and give it again."""

        async def again() -> None:
            assert self.post is not None
            await self.post.remove(pod.id)
            await self._serve(pod)
            await self.post.until_ready(pod.id)

        self.agent(again())

    def _proxy(self, pod: Pod) -> None:
        if pod.mesh is Mesh.NODE:
            pod.envoy = self.node_envoy or self.start_node_envoy()
            redirect.apply(pod.path, redirect.Redirect(proxy_mark=PROXY_MARK))
            self.agent(self._serve(pod))
            return
        redirect.apply(pod.path, redirect.Redirect(proxy_uid=pod.uid))
        pod.envoy = Envoy(
            pod.id,
            self.directory / pod.name,
            pod.uid,
            ["ip", "netns", "exec", pod.namespace, "setpriv"],
        )
        self.agent(self._serve(pod))
        pod.envoy.start()

    def drop(self, name: str) -> None:
        """The pod goes, and with it what is known of it."""
        pod = self.pods.pop(name)
        del self.state.endpoints[pod.id], self.state.peers[pod.address]

        async def remove() -> None:
            assert self.post is not None
            await self.post.remove(pod.id)

        self.agent(remove())
        run("ip", "-n", pod.namespace, "link", "del", "eth0")  # whatever socket keeps the namespace
        if pod.mesh is Mesh.SIDECAR:
            pod.stop_envoy()  # not before: who is connected is not to hear of its end
        run("ip", "netns", "del", pod.namespace)
        self._namespaces.remove(pod.namespace)

    def _envoys(self) -> list[Envoy]:
        found = {id(pod.envoy): pod.envoy for pod in self.pods.values() if pod.envoy is not None}
        return list(found.values())

    def trouble(self) -> str:
        """Which Envoys have ended, and how; "" when none has."""
        return "\n".join(filter(None, (envoy.trouble() for envoy in self._envoys())))

    def drained(self) -> None:
        """Wait until no Envoy has connections left that a change of a listener ends."""
        until("drained", lambda: not any(envoy.draining() for envoy in self._envoys()))

    def settle(self) -> None:
        """Everything known everywhere, all proxies listening."""
        assert self.update() == ()
        for pod in self.pods.values():
            if pod.envoy is not None:
                until(f"{pod.id} ready: {pod.envoy.log.read_text()}", partial(self.ready, pod))
                until(f"{pod.id} listens", pod.listening)

    def ready(self, pod: Pod) -> bool:
        """Whether a pod's proxy has accepted all that it was sent."""
        post = self.post
        assert post is not None

        async def ask() -> bool:
            return post.ready(pod.id)

        return self.agent(ask())

    def seen(self, timeout: float = PATIENCE, **fields: Any) -> ProxyEvent:
        """The access log record with these fields."""

        def find() -> ProxyEvent | None:
            for event in reversed(self.events):
                if all(getattr(event, name) == value for name, value in fields.items()):
                    return event
            return None

        try:
            event = until(f"record with {fields}", find, timeout)
        except AssertionError as error:
            listing = "\n".join(map(str, self.events[-20:]))
            raise AssertionError(f"{error}; there were:\n{listing}") from None
        assert event is not None
        return event

    def close(self) -> None:
        """Leave nothing behind."""
        for pod in self.pods.values():
            pod.stop_envoy()
        for one in self.sockets:
            # who waits there would wait on, and may take what comes to the next owner of the number
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        if self.post is not None:
            self.kill_agent()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for name in self._namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)
