"""The proxy post of a node: every sidecar's resources, served and followed until they are in force.

The agent tells it pods, keys and states; it tells the agent when a revision is enforced. A
sidecar that is not connected enforces nothing and passes nothing, so it is not waited for: it gets
the current state when it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from tsujiban.identity.svid import Svid
from tsujiban.policy.program import NodeState
from tsujiban.proxy import names, sockdiag, tls
from tsujiban.proxy.accesslog import AccessLogHandler, ProxyEvent
from tsujiban.proxy.ads import AdsHandler
from tsujiban.proxy.connections import Connections, ended, refusal
from tsujiban.proxy.guard import Authorize, GuardedServer, bind_private, unlink_stale
from tsujiban.proxy.render import render
from tsujiban.proxy.resource import Kind, Resource, Resources
from tsujiban.proxy.table import Table


class _Sidecar:
    """One pod's socket, what is served on it, and what passes its proxy uninspected."""

    def __init__(self, endpoint: str, path: Path, events: Callable[[ProxyEvent], None]) -> None:
        self.endpoint = endpoint
        self.path = path
        self.ads: AdsHandler
        self.server: GuardedServer
        self.rendered: Resources = {}
        self.table: Table | None = None
        self.secrets: dict[str, Resource] = {}
        self.pid = 0  # of the connected proxy
        self.connections = Connections()
        self.failure = ""
        self.addresses: tuple[str, ...] = ()  # the pod's
        self._events = events
        self._tasks: set[asyncio.Task[None]] = set()

    def push(self, revision: int) -> None:
        self.ads.push({**self.rendered, Kind.SECRET: self.secrets}, revision)

    def event(self, event: ProxyEvent) -> None:
        if event.log == "tcp":
            connection = self.connections.note(event)
            # One that opened just before a change, or that an agent before this one let be.
            if connection and self.table and refusal(self.table, connection) is not None:
                task = asyncio.create_task(self.end_denied())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if not event.periodic:
            self._events(self._with_source(event))

    def _with_source(self, event: ProxyEvent) -> ProxyEvent:
        """What came through a service's address came from the pod, though from inside this proxy."""
        if event.source or event.direction != "egress" or not self.addresses:
            return event
        return msgspec.structs.replace(event, source=self.addresses[0])

    async def end_denied(self) -> None:
        """End the uninspected connections that policy does not allow any more."""
        if self.table is None or not self.pid:
            return
        self.failure = ""
        for one, rules in self.connections.denied(self.table).items():
            ends = (one.destination, names.INBOUND_PORT), (one.source, one.source_port)
            try:
                await asyncio.to_thread(sockdiag.destroy, f"/proc/{self.pid}/ns/net", *ends)
            except OSError as error:
                self.failure = f"a denied connection may be open still: {error}"
                continue
            if self.connections.forget(one):
                self._events(ended(self.endpoint, one, rules))


class ProxyPost:
    """All sidecars of a node. Belongs to one event loop."""

    def __init__(self, pod_cidrs: Iterable[str], events: Callable[[ProxyEvent], None] | None = None) -> None:
        """`pod_cidrs`: all nodes' pod networks; an address in them that is no known peer's is
        refused. `events` receives every access log record."""
        self._pod_cidrs = tuple(pod_cidrs)
        self._events = events or (lambda _: None)
        self._state = NodeState()
        self._sidecars: dict[str, _Sidecar] = {}
        self._secrets: dict[str, dict[str, Resource]] = {}
        self._moved = asyncio.Event()

    async def add(
        self, endpoint_id: str, socket_path: Path, uid: int, authorize: Authorize | None = None
    ) -> None:
        """Serve a pod's sidecar on `socket_path`, to processes of `uid` that `authorize(pid, uid)`
        lets in as well. The directory must exist, 0700, owned by `uid`.

        Raises OSError when the socket cannot be made, ValueError when the pod is served already.
        """
        if endpoint_id in self._sidecars:
            raise ValueError(f"the sidecar of {endpoint_id} is served already")

        sidecar = _Sidecar(endpoint_id, socket_path, self._events)

        def allowed(pid: int, peer: int) -> bool:
            welcome = peer == uid and (authorize is None or authorize(pid, peer))
            if welcome:
                sidecar.pid = pid
            return welcome

        sidecar.ads = AdsHandler(self._move)
        log = AccessLogHandler(endpoint_id, sidecar.event)
        sidecar.server = GuardedServer([sidecar.ads, log], allowed)
        await unlink_stale(str(socket_path))
        await sidecar.server.start(sock=bind_private(str(socket_path), uid))
        sidecar.secrets = self._secrets.get(endpoint_id, {})
        self._sidecars[endpoint_id] = sidecar
        self._render(endpoint_id, sidecar)

    async def remove(self, endpoint_id: str) -> None:
        """Stop serving a pod, forget its key, remove its socket. Unknown pods are no error."""
        self._secrets.pop(endpoint_id, None)
        sidecar = self._sidecars.pop(endpoint_id, None)
        if sidecar is not None:
            await self._close(sidecar)
            sidecar.path.unlink(missing_ok=True)
            self._move()

    async def close(self) -> None:
        """Stop serving. Sidecars go on with what they hold."""
        while self._sidecars:
            await self._close(self._sidecars.popitem()[1])

    @staticmethod
    async def _close(sidecar: _Sidecar) -> None:
        sidecar.server.close()
        await sidecar.server.wait_closed()

    def set_secret(self, endpoint_id: str, svid: Svid) -> None:
        """Give a pod's sidecar its certificate, key and trust bundle, or new ones."""
        self._secrets[endpoint_id] = {one.name: one for one in tls.secrets(svid)}
        sidecar = self._sidecars.get(endpoint_id)
        if sidecar is not None:
            sidecar.secrets = self._secrets[endpoint_id]
            sidecar.push(self._state.revision)

    def set_pod_cidrs(self, pod_cidrs: Iterable[str]) -> None:
        """The cluster's pod networks changed."""
        networks = tuple(pod_cidrs)
        if networks != self._pod_cidrs:
            self._pod_cidrs = networks
            self.update(self._state)

    def update(self, state: NodeState, touched: Iterable[str] | None = None) -> None:
        """Take a new state. `touched` are the endpoints it means anything for; None is all."""
        self._state = state
        ids = set(self._sidecars) if touched is None else set(touched) & self._sidecars.keys()
        for endpoint_id, sidecar in self._sidecars.items():
            if endpoint_id in ids:
                self._render(endpoint_id, sidecar)
            else:
                sidecar.push(state.revision)
        self._move()

    def _render(self, endpoint_id: str, sidecar: _Sidecar) -> None:
        fresh: Resources = {}
        if endpoint_id in self._state.endpoints:
            fresh, sidecar.table = render(self._state, endpoint_id, self._pod_cidrs)
        for kind, resources in fresh.items():
            old = sidecar.rendered.get(kind, {})
            for name, one in resources.items():
                if name in old and old[name].version == one.version:
                    resources[name] = old[name]  # already encoded
        sidecar.rendered = fresh
        program = self._state.endpoints.get(endpoint_id)
        sidecar.addresses = program.addresses if program is not None else ()
        sidecar.push(self._state.revision)

    def connected(self) -> frozenset[str]:
        """Endpoints whose sidecar has a stream open."""
        return frozenset(name for name, one in self._sidecars.items() if one.ads.sessions)

    def ready(self, endpoint_id: str) -> bool:
        """Whether a sidecar is connected and has accepted all that it was sent."""
        sidecar = self._sidecars.get(endpoint_id)
        if sidecar is None or endpoint_id not in self._state.endpoints:
            return False
        sessions = sidecar.ads.sessions
        return bool(sessions) and all(one.complete and not one.problems for one in sessions)

    async def until_ready(self, endpoint_id: str) -> None:
        """Wait until a sidecar is `ready`."""
        while not self.ready(endpoint_id):
            self._moved.clear()
            await self._moved.wait()

    async def enforced(self, revision: int) -> tuple[str, ...]:
        """Wait until every connected sidecar has answered what `revision` means for it; what they
        refused, as `endpoint: reason`. Empty: it is in force, and uninspected connections that it
        denies have been ended."""
        while not self._settled(revision):
            self._moved.clear()
            await self._moved.wait()
        for sidecar in list(self._sidecars.values()):
            await sidecar.end_denied()
        return self.problems()

    def problems(self) -> tuple[str, ...]:
        """What connected sidecars have refused, as `endpoint: reason`."""
        found: list[str] = []
        for name, sidecar in sorted(self._sidecars.items()):
            found += [f"{name}: {one}" for session in sidecar.ads.sessions for one in session.problems]
            if sidecar.failure:
                found.append(f"{name}: {sidecar.failure}")
        return tuple(found)

    def _settled(self, revision: int) -> bool:
        return self._state.revision >= revision and all(
            session.settled(revision)
            for sidecar in self._sidecars.values()
            for session in sidecar.ads.sessions
        )

    def _move(self) -> None:
        self._moved.set()
