"""One socket, one Envoy: a pod's sidecar, or the Envoy that serves all pods of the node.

What it should hold is what its pods need together. Its access log names the pod by the prefix that
the pod's resources have.

After a hot restart there are two Envoys for a while (`generations`). The old one is ended when a change of
listeners comes that its connections would have to feel: another way in, or a pod that goes. Not before the
new one is there, for until then the old one may be all there is.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tsujiban.proxy import clusters, names
from tsujiban.proxy.accesslog import AccessLogHandler, ProxyEvent, Sink
from tsujiban.proxy.ads import AdsHandler
from tsujiban.proxy.generations import Generations
from tsujiban.proxy.guard import Authorize, GuardedServer, bind_private, unlink_stale
from tsujiban.proxy.odcds import OnDemandHandler
from tsujiban.proxy.ondemand import Known, OnDemand
from tsujiban.proxy.pod import ServedPod
from tsujiban.proxy.resource import Kind, Resource, Resources
from tsujiban.proxy.session import Session
from tsujiban.proxy.standin import StandIns, of_user

_REMEMBERED = 256  # pods that have left: the last records of their connections come after them


class Channel:
    """An Envoy's socket and the pods that it serves. Belongs to one event loop."""

    def __init__(
        self,
        path: Path,
        uid: int,
        authorize: Authorize | None,
        changed: Callable[[], None],
        remove: Callable[[], bool] = lambda: True,
        rendered: Callable[[], bool] = lambda: True,
        sequence: Callable[[], int] = lambda: -1,
        again: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`remove` is asked whether Envoy is to lose what no pod here needs, `rendered` whether the pods'
        resources are what the newest state makes of them, `sequence` how many changes of who owns which
        address that is; `again` has a pod rendered and pushed once more."""
        self.path = path
        self.pods: dict[str, ServedPod] = {}  # by prefix: "" in a sidecar
        self._generations = Generations()
        self._standins = StandIns(uid)
        self._unfelt = False  # an old one has not felt a change, and must end
        self._entrances: dict[str, str] = {}  # versions of the listeners that let others in
        self._left: OrderedDict[str, ServedPod] = OrderedDict()
        self._uid = uid
        self._authorize = authorize
        self._changed = changed
        self._ads = AdsHandler(self._heard, remove, self._led)
        self._remove = remove
        self._is_rendered = rendered
        self._sequence = sequence
        self._again = again
        self._offered = -1  # what `sequence` was when all that Envoy has been sent was rendered
        self._revision = 0
        # the former owners of addresses: since the last push, and until Envoy has taken what that said
        self._moved: dict[str, str] = {}
        self._leaving: dict[str, str] = {}
        self._judged_by: dict[str, object] = {}  # what decides whom its pods may open tunnels to
        self._tunnels: dict[str, tuple[str, Resource]] = {}  # identity and cluster, by name
        self._on_demand = OnDemandHandler(self._cluster, self._answered)
        services = [self._ads, self._on_demand, AccessLogHandler(self._sink)]
        self._server = GuardedServer(services, self._allowed)

    async def open(self) -> None:
        """Serve. Raises OSError when the socket cannot be made."""
        running = await asyncio.to_thread(of_user, self._uid)
        await unlink_stale(str(self.path))
        listener = bind_private(str(self.path), self._uid)
        try:
            await self._server.start(sock=listener)
        except BaseException:  # a pod may be removed meanwhile: nobody may find a socket that nobody closes
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
            self.path.unlink(missing_ok=True)
            raise
        for pid in running:
            self._standins.look(pid)

    async def close(self, *, unlink: bool = False) -> None:
        """Stop serving. Envoy goes on with what it holds."""
        self._server.close()
        self._standins.close()
        try:
            await self._server.wait_closed()
        finally:
            if unlink:
                self.path.unlink(missing_ok=True)

    def join(self, pod: ServedPod) -> None:
        """Serve this pod, too, from the next push on."""
        self.pods[pod.site.name("")] = pod

    def serves(self, pod: ServedPod) -> bool:
        """Whether its place is taken."""
        return pod.site.name("") in self.pods

    def leave(self, pod: ServedPod) -> None:
        """Serve it no more, from the next push on."""
        prefix = pod.site.name("")
        if self.pods.pop(prefix, None) is not None:
            self._left[prefix] = pod
            while len(self._left) > _REMEMBERED:
                self._left.popitem(last=False)

    def push(self, revision: int) -> None:
        """Send what its pods need together."""
        together: Resources = {kind: {} for kind in Kind}
        for pod in self.pods.values():
            for kind, resources in pod.resources.items():
                together[kind].update(resources)
        pods = self.pods.items()
        keyless = {prefix: waiting for prefix, one in pods if (waiting := one.keyless) is not None}
        entrances = {
            name: one.version
            for resources in (together, *keyless.values())
            for name, one in resources.get(Kind.LISTENER, {}).items()
            if _lets_in(name)
        }
        changed = any(entrances.get(name) != version for name, version in self._entrances.items())
        self._unfelt = (self._unfelt or changed) and bool(self._generations.succeeded)
        self._entrances, self._revision = entrances, revision
        self._end_deaf()
        self._push_tunnels(revision)
        self._ads.push(together, revision, keyless)
        if self._is_rendered():
            self._offered = self._sequence()
        self._accept()
        self._part()

    def _accept(self) -> None:
        """Tell the pods whose tables Envoy has taken. It may have been sent half of what is new."""
        if self._offered >= 0 and self.sessions and all(one.settled(self._revision) for one in self.sessions):
            for prefix, pod in self.pods.items():
                if not any(one.problems_of(prefix) for one in self.sessions):
                    pod.accepted(self._offered)

    def moved(self, former: Mapping[str, str]) -> None:
        """These addresses have other owners than before, which the next push is to tell."""
        self._moved = {**former, **self._moved}

    def _push_tunnels(self, revision: int) -> None:
        judged_by: dict[str, object] = {
            prefix: (one.renderer.tables, one.renderer.avoided, one.renderer.services_revision)
            for prefix, one in self.pods.items()
        }
        same = judged_by == self._judged_by
        moved, self._moved, self._judged_by = self._moved, {}, judged_by
        self._leaving = {one: owner for one, owner in moved.items() if owner} | self._leaving
        self._on_demand.push(revision, moved if same else None)

    def _part(self) -> None:
        """Who has gone is gone once Envoy has taken all else: a service's endpoints may have led there."""
        taken = all(one.settled(self._revision) for one in self.sessions)
        if self._leaving and taken and self._is_rendered():
            left, self._leaving = self._leaving, {}
            self._on_demand.push(self._revision, left)

    def _cluster(self, name: str) -> Known | None:
        """What a cluster is that Envoy asks for: a tunnel, if a pod here may open it, or a service."""
        prefix, where = names.asked_service(name)
        if where:
            return self._service(prefix, where)
        address = names.mesh_address(name)
        former = self._leaving.get(address) or self._moved.get(address, "")
        for pod in self.pods.values():
            if identity := pod.tunnel_to(address, former):
                known = self._tunnels.get(name)
                if known is None or known[0] != identity:
                    known = self._tunnels[name] = (identity, clusters.mesh(pod.site, name, identity))
                return Known(known[1])
        # who is there, or may be spoken to, is not known before all is rendered
        return Known(None) if self._remove() else None

    def _service(self, prefix: str, where: str) -> Known | None:
        cluster = None
        if (pod := self.pods.get(prefix)) is not None:
            cluster, new = pod.renderer.ask_service(where)
            if new:
                self._again(pod.endpoint)  # for its endpoints
        return Known(cluster) if cluster is not None or self._remove() else None

    def _led(self) -> bool:
        return all(one.led for one in self._on_demand.streams)

    def _answered(self) -> None:
        if self._led():
            self._ads.resume()
        self._heard()

    def _heard(self) -> None:
        self._end_deaf()
        self._accept()
        self._part()
        self._changed()

    def _end_deaf(self) -> None:
        if self._unfelt and len(self.sessions) > 1:
            self._generations.end_old()
            self._unfelt = False

    @property
    def pid(self) -> int:
        """The Envoy that serves; the last one that had connected, while none is connected. 0: none."""
        return self._generations.newest

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions of the Envoys that are connected: two, while an old one goes on."""
        return tuple(sorted(one.version for one in self.sessions if one.version))

    @property
    def sessions(self) -> list[Session]:
        """Streams that are open."""
        return self._ads.sessions

    def settled(self, revision: int) -> bool:
        """Whether every Envoy has answered all that `revision` meant for it."""
        streams: list[Session | OnDemand] = [*self.sessions, *self._on_demand.streams]
        return not self._leaving and all(one.settled(revision) for one in streams)

    def ready(self, pod: ServedPod, version: str = "") -> bool:
        """Whether Envoy (one of them, if there are two; of this version, if one is named) has accepted all of
        a pod's."""
        resources, prefix = pod.resources, pod.site.name("")
        return bool(resources) and any(
            one.holds(resources) and not one.problems_of(prefix)
            for one in self.sessions
            if version in ("", one.version)
        )

    def problems(self, pod: ServedPod) -> tuple[str, ...]:
        """What Envoy has refused of a pod's, or could not do for it."""
        prefix = pod.site.name("")
        told = [one.problems_of(prefix) for one in self.sessions]
        found = min(told, key=len, default=())  # an old one has refusals of its own
        found += tuple(one.problem for one in self._on_demand.streams if one.problem)
        if pod.keyless is not None and pod.revokes and any(prefix in one.keys for one in self.sessions):
            found += ("its key is not there yet, and with it the list of revoked certificates",)
        return (*found, pod.problem) if pod.problem else found

    def _allowed(self, pid: int, uid: int) -> bool:
        welcome = uid == self._uid and (self._authorize is None or self._authorize(pid, uid))
        if welcome:
            self._generations.add(pid)
            self._standins.look(pid)
        return welcome

    def _sink(self, log: str) -> Sink:
        prefix = names.owner(log)
        pod = self.pods.get(prefix) or self._left.get(prefix)
        if pod is None:
            return "", log, _nobody
        return pod.endpoint, log.removeprefix(prefix), partial(self._event, pod)

    def _event(self, pod: ServedPod, event: ProxyEvent) -> None:
        if event.log == names.WANTED_LOG:
            self._on_demand.wanted(event.detail)
            return
        if event.log == names.TUNNEL_LOG:
            self._on_demand.used(names.mesh_cluster(names.ASKED, event.far[0]))
        pod.event(event)


def _lets_in(listener: str) -> bool:
    return listener.rpartition("|")[2] in (names.INBOUND, names.INBOUND_INNER)


def _nobody(_: ProxyEvent) -> None:
    """A record about nobody known: not even an endpoint to note it for."""
