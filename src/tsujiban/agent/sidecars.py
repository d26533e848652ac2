"""Pods in the mesh by a sidecar of their own: an Envoy in the pod's sandbox, under its own user.

A sidecar is given one directory: its bootstrap, and the socket on which this agent answers it and
nobody else. Its uid may open that socket, and whoever connects must also be in the pod's own
network namespace.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tsujiban.agent.containers import Place, process_name, sandbox_of
from tsujiban.agent.proxy_init import RENEW
from tsujiban.agent.proxyroom import CONFIG, INIT, INSIDE, OWNERS, command, mounts
from tsujiban.agent.renewal import Renewal
from tsujiban.identity.rotation import SvidManager
from tsujiban.kernel import redirect
from tsujiban.policy.program import EndpointProgram
from tsujiban.proxy import binary
from tsujiban.proxy.bootstrap import bootstrap
from tsujiban.proxy.post import ProxyPost
from tsujiban.resources.kinds.core import Pod
from tsujiban.supervise.client import ProcessStatus, SupervisorClient
from tsujiban.supervise.spec import ProcessSpec, Restart
from tsujiban.wire.sessions import SIDECAR

SOCKET = "proxy.sock"
READY_SECONDS = 20.0


class Sidecars:
    """The sidecars of this node: a `PodMesh`."""

    def __init__(
        self, node: str, run_dir: Path, post: ProxyPost, svids: SvidManager, supervisor: SupervisorClient
    ) -> None:
        self._node = node
        self._run_dir = run_dir
        self._post = post
        self._svids = svids
        self._supervisor = supervisor
        self._binary = binary.locate()
        self._served: dict[str, str] = {}  # endpoint id -> pod uid
        self._configured: set[str] = set()  # endpoint ids whose sidecar holds what an agent told it
        # sidecars (process names) that run with older policy, out of reach: what an agent before this
        # one left running, until they have come back; None before the first look
        self._away: set[str] | None = None
        self._serving: dict[str, tuple[int, int]] = {}  # pid and start of those that have been seen to serve
        self.renewal = Renewal(post, self.hand_over)

    async def behind(self) -> tuple[str, ...]:
        """See `PodMesh.behind`. A sidecar that does not run, or holds nothing yet, is closed."""
        connected = self._post.connected()
        names = {key: process_name(self._node, uid, SIDECAR) for key, uid in self._served.items()}
        cut = {names[key] for key in self._configured - connected}
        if self._away is None:
            self._away = await self._running()
        self._away -= {name for key, name in names.items() if self._post.ready(key)}
        if not cut and not self._away:
            return ()
        running = await self._running()
        self._away &= running
        return tuple(f"{name} has not come back yet" for name in sorted(self._away | cut & running))

    async def _running(self) -> set[str]:
        found = await self._supervisor.list(f"{self._node}/pods/")
        return {p.name for p in found if p.name.endswith("/" + SIDECAR) and p.state == "running"}

    async def join(self, key: str, pod: Pod, place: Place, program: EndpointProgram) -> None:
        """See `PodMesh.join`."""
        sandbox = sandbox_of(pod, place)
        await asyncio.to_thread(
            redirect.apply, sandbox.netns_path, redirect.Redirect(proxy_uid=place.sidecar_uid)
        )
        await self._serve(key, pod, place, sandbox.netns_path)
        self._svids.ensure(key, program.identity)
        await self._supervisor.start(self.process(pod, place), replace=True)
        async with asyncio.timeout(READY_SECONDS):
            await self._svids.until(key)
            await self._post.until_ready(key)
        self._configured.add(key)
        self.renewal.look(key)

    async def hand_over(self, key: str) -> None:
        """Have a new Envoy take over from a pod's. Connections that are open stay with the old one, which
        goes on for `PARENT_SECONDS` at most. Raises OSError, Refused."""
        await self._supervisor.kill(process_name(self._node, self._served[key], SIDECAR), RENEW)

    async def leave(self, key: str, pod: Pod, place: Place) -> None:
        """See `PodMesh.leave`."""
        name = process_name(place.node, pod.metadata.uid, SIDECAR)
        if self._served.get(key) == pod.metadata.uid:
            self._configured.discard(key)  # it takes leave of us a moment before its process has ended
        await self._supervisor.stop(name, forget_log=True)
        if self._served.get(key) == pod.metadata.uid:
            del self._served[key]
            self._serving.pop(key, None)
            await self._post.remove(key)
            self._svids.remove(key)
        await asyncio.to_thread(remove_directory, self.directory(pod))

    def ready(self, key: str) -> bool:
        """See `PodMesh.ready`."""
        return self._post.ready(key) and self._svids.get(key) is not None

    def serves(self, key: str, processes: Mapping[str, ProcessStatus]) -> bool:
        """See `PodMesh.serves`."""
        process = processes.get(process_name(self._node, self._served.get(key, ""), SIDECAR))
        if process is None or process.state != "running":
            return False
        incarnation = (process.pid, process.start_ticks)
        if self.ready(key):
            self._serving[key] = incarnation
        return self._serving.get(key) == incarnation

    def directory(self, pod: Pod) -> Path:
        """A sidecar's own directory, as the node sees it."""
        return self._run_dir / "pods" / pod.metadata.uid

    def process(self, pod: Pod, place: Place) -> ProcessSpec:
        """The sidecar's process."""
        return sandbox_of(pod, place).process(
            process_name(place.node, pod.metadata.uid, SIDECAR),
            command(self._binary),
            uid=place.sidecar_uid,
            gid=place.sidecar_uid,
            mounts=mounts(self.directory(pod), self._run_dir / OWNERS, self._binary),
            init=INIT,
            restart=Restart.ALWAYS,
            grace=5.0,
            order=4,
        )

    async def _serve(self, key: str, pod: Pod, place: Place, netns: str) -> None:
        if self._served.get(key) == pod.metadata.uid:
            return
        if key in self._served:
            self._configured.discard(key)
            await self._post.remove(key)
        directory = self.directory(pod)
        config = bootstrap(key, Path(INSIDE, SOCKET))
        await asyncio.to_thread(make_directory, directory, place.sidecar_uid, msgspec.json.encode(config))
        expected = os.stat(netns)

        def authorize(pid: int, _uid: int) -> bool:
            return _in_namespace(pid, expected)

        await self._post.add(key, directory / SOCKET, place.sidecar_uid, authorize)
        self._served[key] = pod.metadata.uid
        svid = self._svids.get(key)
        if svid is not None:
            self._post.set_secret(key, svid)


def _in_namespace(pid: int, expected: os.stat_result) -> bool:
    """Whether a process is in the network namespace whose inode is `expected`."""
    try:
        found = os.stat(f"/proc/{pid}/ns/net")
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (expected.st_dev, expected.st_ino)


def make_directory(directory: Path, uid: int, config: bytes) -> None:
    """A directory that only a proxy's user enters, with its bootstrap. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / CONFIG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(config)
        os.fchown(file.fileno(), uid, uid)
    os.chown(directory, uid, uid)


def remove_directory(directory: Path) -> None:
    """Remove a sidecar's own directory, if it is there. Raises OSError."""
    for name in (SOCKET, CONFIG):
        (directory / name).unlink(missing_ok=True)
    if directory.exists():
        directory.rmdir()
