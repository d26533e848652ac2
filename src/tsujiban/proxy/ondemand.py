"""Clusters of tunnels, and of services, that a proxy asks for when it first needs them: without the I/O.

Envoy 1.40 asks for a name once. From then on, until the stream ends, it waits for what it is told: so what
was asked for is remembered, and told again when it changes. A name with no answer to it keeps connections
waiting for `routes.ASK_SECONDS` each time but the first; so where nobody is, the answer is a
cluster that refuses.

What has not been used for `IDLE_SECONDS` is taken from a proxy that holds many (`rest`). It does not ask
again, so it is given again when a connection begins there, which the proxy tells of (`wanted`).

Nothing is believed of what a proxy asks: it gets tunnels that its pods may open, to whom these
addresses belong (`Answer`), and only so many names are remembered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from envoy.service.discovery.v3 import discovery_pb2

from tsujiban.proxy import clusters, names
from tsujiban.proxy.delta import Responses, response
from tsujiban.proxy.resource import Kind, Resource


class Known(NamedTuple):
    """What a name stands for."""

    cluster: Resource | None  # None: nobody is there, or nobody who may be spoken to


Answer = Callable[[str], Known | None]  # None: it is not known yet

IDLE_SECONDS = 600.0
KEPT = 64  # tunnels that a proxy keeps, however long they are not used

_REFUSING = 256  # names of nobody that are answered with a cluster; more are only said not to be there
_NAMES = 1 << 14  # that are remembered
_UNHELD, _GONE = "", "gone"  # no resource has these versions
_REASON = 400  # characters


class _Sent(NamedTuple):
    """A response that has not been answered yet."""

    revision: int
    names: tuple[str, ...]


class OnDemand:
    """State of one stream. Not thread-safe."""

    def __init__(self, answer: Answer, clock: Callable[[], float] = time.monotonic) -> None:
        self._answer = answer
        self._clock = clock
        self._used: dict[str, float] = {}  # when, by name: tunnels that the proxy holds
        self._resting: set[str] = set()  # tunnels that were taken from it
        self._asked: dict[str, str] = {}  # the version that the proxy holds, by name
        self._unanswered: set[str] = set()
        self._refusing: set[str] = set()
        self._waiting: dict[str, _Sent] = {}  # by nonce
        self._counter = 0
        self._revision = 0
        self.problem = ""  # what the proxy has refused last

    def request(self, message: discovery_pb2.DeltaDiscoveryRequest) -> Responses:
        """Take a subscription, an ACK or a NACK; what there is to answer."""
        if message.type_url != Kind.CLUSTER:
            return
        sent = self._waiting.pop(message.response_nonce, None)
        if sent is not None and message.HasField("error_detail"):
            self._asked.update((name, _UNHELD) for name in sent.names if name in self._asked)
            self.problem = f"Envoy refused a tunnel: {message.error_detail.message[-_REASON:]}"
        elif sent is not None:
            self.problem = ""
        for name in message.resource_names_unsubscribe:
            self._asked.pop(name, None)
            self._unanswered.discard(name)
            self._refusing.discard(name)
            self._resting.discard(name)
            self._used.pop(name, None)
        strange = []
        for name in message.resource_names_subscribe:
            known = names.mesh_address(name) or names.asked_service(name)[1]
            if known and (name in self._asked or len(self._asked) < _NAMES):
                self._asked[name] = message.initial_resource_versions.get(name, _UNHELD)
            else:
                strange.append(name)
        if strange:
            yield self._response([], strange)
        self._resting.difference_update(message.resource_names_subscribe)
        yield from self._tell(message.resource_names_subscribe)

    def used(self, name: str) -> None:
        """A connection goes over this tunnel."""
        if name in self._used:
            self._used[name] = self._clock()

    def wanted(self, name: str) -> Responses:
        """A connection begins that is to go over this tunnel."""
        self.used(name)
        if name in self._resting:
            self._resting.discard(name)
            yield from self._tell([name])

    def rest(self) -> Responses:
        """Take from the proxy what it has not used for long, but for what it has used last."""
        oldest = sorted(self._used, key=self._used.__getitem__)
        late = self._clock() - IDLE_SECONDS
        idle = [name for name in oldest[: max(0, len(oldest) - KEPT)] if self._used[name] <= late]
        for name in idle:
            del self._used[name]
            self._resting.add(name)
            self._asked[name] = _GONE
        if idle:
            yield self._response([], idle)

    def push(self, revision: int, moved: Iterable[str] | None) -> Responses:
        """Tell what is new at `revision`: of the addresses `moved`, or of all (None)."""
        self._revision = revision
        if moved is None:
            yield from self._tell(list(self._asked))
            return
        concerned = {names.mesh_cluster(one, to) for to in moved for one in names.GENERATIONS}
        yield from self._tell(sorted(concerned | self._unanswered))

    def settled(self, revision: int) -> bool:
        """Whether the proxy has answered everything that it was told of `revision`."""
        return not any(one.revision <= revision for one in self._waiting.values())

    @property
    def led(self) -> bool:
        """Whether the proxy has answered all that it was told."""
        return not self._waiting

    def _tell(self, asked: Iterable[str]) -> Responses:
        changed: list[Resource] = []
        removed: list[str] = []
        for name in asked:
            if name not in self._asked or name in self._resting:
                continue
            answer = self._answer(name)
            if answer is None:
                self._unanswered.add(name)
                continue
            self._unanswered.discard(name)
            cluster = answer.cluster
            if cluster is not None:
                self._refusing.discard(name)
                if names.mesh_address(name):
                    self._used.setdefault(name, self._clock())
            elif name in self._refusing or len(self._refusing) < _REFUSING:
                self._refusing.add(name)
                self._used.pop(name, None)
                cluster = clusters.nobody(name)
            version = _GONE if cluster is None else cluster.version
            if self._asked[name] != version:
                self._asked[name] = version
                if cluster is None:
                    removed.append(name)
                else:
                    changed.append(cluster)
        if changed or removed:
            yield self._response(changed, removed)

    def _response(self, changed: list[Resource], removed: list[str]) -> discovery_pb2.DeltaDiscoveryResponse:
        self._counter += 1
        message = response(Kind.CLUSTER, self._counter, changed, removed)
        self._waiting[message.nonce] = _Sent(self._revision, tuple(one.name for one in changed))
        return message
