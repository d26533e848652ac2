"""One socket, one Envoy: a pod's sidecar, or the Envoy that serves all pods of the node.

What it should hold is what its pods need together. Its access log names the pod by the prefix that
the pod's resources have.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from tsujiban.proxy import names
from tsujiban.proxy.accesslog import AccessLogHandler, ProxyEvent, Sink
from tsujiban.proxy.ads import AdsHandler
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
        self.pid = 0  # of the Envoy that connected last
        self.pods: dict[str, ServedPod] = {}  # by prefix: "" in a sidecar
        self._left: OrderedDict[str, ServedPod] = OrderedDict()
        self._uid = uid
        self._authorize = authorize
        self._ads = AdsHandler(changed, remove)
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
        self._ads.push(together, revision)

    @property
    def sessions(self) -> list[Session]:
        """Streams that are open."""
        return self._ads.sessions

    def ready(self, pod: ServedPod) -> bool:
        """Whether every stream's Envoy has accepted all of a pod's."""
        resources, prefix = pod.resources, pod.site.name("")
        return bool(self.sessions and resources) and all(
            one.holds(resources) and not one.problems_of(prefix) for one in self.sessions
        )

    def problems(self, pod: ServedPod) -> tuple[str, ...]:
        """What Envoy has refused of a pod's, or could not do for it."""
        found = [reason for one in self.sessions for reason in one.problems_of(pod.site.name(""))]
        return (*found, pod.failure) if pod.failure else tuple(found)

    def _allowed(self, pid: int, uid: int) -> bool:
        welcome = uid == self._uid and (self._authorize is None or self._authorize(pid, uid))
        if welcome:
            self.pid = pid
        return welcome

    def _sink(self, log: str) -> Sink:
        prefix = names.owner(log)
        pod = self.pods.get(prefix) or self._left.get(prefix)
        if pod is None:
            return "", log, _nobody
        return pod.endpoint, log.removeprefix(prefix), pod.event


def _nobody(_: ProxyEvent) -> None:
    """A record about nobody known: not even an endpoint to note it for."""
