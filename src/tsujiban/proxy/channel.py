"""One socket, one Envoy: a pod's sidecar, or the Envoy that serves all pods of the node.

What it should hold is what its pods need together. Its access log names the pod by the prefix that
the pod's resources have.

After a hot restart there are two Envoys for a while (`generations`). The old one is ended when a change of
listeners comes that its connections would have to feel: another way in, or a pod that goes. Not before the
new one is there, for until then the old one may be all there is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from tsujiban.proxy import names
from tsujiban.proxy.accesslog import AccessLogHandler, ProxyEvent, Sink
from tsujiban.proxy.ads import AdsHandler
from tsujiban.proxy.generations import Generations
from tsujiban.proxy.guard import Authorize, GuardedServer, bind_private, unlink_stale
from tsujiban.proxy.pod import ServedPod
from tsujiban.proxy.resource import Kind, Resources
from tsujiban.proxy.session import Session

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
    ) -> None:
        """`remove` is asked whether Envoy is to lose what no pod here needs."""
        self.path = path
        self.pods: dict[str, ServedPod] = {}  # by prefix: "" in a sidecar
        self._generations = Generations()
        self._unfelt = False  # an old one has not felt a change, and must end
        self._entrances: dict[str, str] = {}  # versions of the listeners that let others in
        self._left: OrderedDict[str, ServedPod] = OrderedDict()
        self._uid = uid
        self._authorize = authorize
        self._changed = changed
        self._ads = AdsHandler(self._moved, remove)
        self._server = GuardedServer([self._ads, AccessLogHandler(self._sink)], self._allowed)

    async def open(self) -> None:
        """Serve. Raises OSError when the socket cannot be made."""
        await unlink_stale(str(self.path))
        await self._server.start(sock=bind_private(str(self.path), self._uid))

    async def close(self, *, unlink: bool = False) -> None:
        """Stop serving. Envoy goes on with what it holds."""
        self._server.close()
        await self._server.wait_closed()
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
        entrances = {name: one.version for name, one in together[Kind.LISTENER].items() if _lets_in(name)}
        changed = any(entrances.get(name) != version for name, version in self._entrances.items())
        self._unfelt = (self._unfelt or changed) and bool(self._generations.succeeded)
        self._entrances = entrances
        self._end_deaf()
        self._ads.push(together, revision)

    def _moved(self) -> None:
        self._end_deaf()
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
        told = [one.problems_of(pod.site.name("")) for one in self.sessions]
        found = min(told, key=len, default=())  # an old one has refusals of its own
        return (*found, pod.problem) if pod.problem else found

    def _allowed(self, pid: int, uid: int) -> bool:
        welcome = uid == self._uid and (self._authorize is None or self._authorize(pid, uid))
        if welcome:
            self._generations.add(pid)
        return welcome

    def _sink(self, log: str) -> Sink:
        prefix = names.owner(log)
        pod = self.pods.get(prefix) or self._left.get(prefix)
        if pod is None:
            return "", log, _nobody
        return pod.endpoint, log.removeprefix(prefix), pod.event


def _lets_in(listener: str) -> bool:
    return listener.rpartition("|")[2] in (names.INBOUND, names.INBOUND_INNER)


def _nobody(_: ProxyEvent) -> None:
    """A record about nobody known: not even an endpoint to note it for."""
