"""One pod as the proxy post serves it: its resources, its key, and what passes it uninspected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from tsujiban.policy.program import NodeState
from tsujiban.proxy import sockdiag
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.connections import Connections, ended, refusal
from tsujiban.proxy.render import render
from tsujiban.proxy.resource import Kind, Resource, Resources
from tsujiban.proxy.site import NodeSite, Site
from tsujiban.proxy.table import Table


class ServedPod:
    """A pod of this node. `namespace` gives the path of its network namespace, "" when it is unknown."""

    def __init__(
        self,
        endpoint: str,
        site: Site,
        namespace: Callable[[], str],
        events: Callable[[ProxyEvent], None],
    ) -> None:
        self.endpoint = endpoint
        self.site = site
        self.failure = ""
        self.secrets: dict[str, Resource] = {}
        self._namespace = namespace
        self._events = events
        self._rendered: Resources = {}
        self._table: Table | None = None
        self._addresses: tuple[str, ...] = ()
        self._connections = Connections()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def resources(self) -> Resources:
        """All that its proxy should hold. In a node's Envoy nothing, until there is a key: a listener that
        waits for one would keep all the others waiting when Envoy starts."""
        if isinstance(self.site, NodeSite) and not self.secrets:
            return {}
        return {**self._rendered, Kind.SECRET: self.secrets}

    def render(self, state: NodeState, pod_cidrs: Iterable[str]) -> None:
        """Take a new state. What has not changed keeps its encoded form."""
        fresh: Resources = {}
        if self.endpoint in state.endpoints:
            fresh, self._table = render(state, self.endpoint, pod_cidrs, self.site)
        for kind, resources in fresh.items():
            old = self._rendered.get(kind, {})
            for name, one in resources.items():
                if name in old and old[name].version == one.version:
                    resources[name] = old[name]
        self._rendered = fresh
        program = state.endpoints.get(self.endpoint)
        self._addresses = program.addresses if program is not None else ()

    def event(self, event: ProxyEvent) -> None:
        """Take a record of its proxy's."""
        if event.log == "tcp":
            connection = self._connections.note(event)
            # One that opened just before a change, or that an agent before this one let be.
            if connection and self._table and refusal(self._table, connection) is not None:
                task = asyncio.create_task(self.end_denied())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if not event.periodic:
            self._events(self._with_source(event))

    def _with_source(self, event: ProxyEvent) -> ProxyEvent:
        """What came through a service's address came from the pod, though from inside the proxy."""
        if event.source or event.direction != "egress" or not self._addresses:
            return event
        return msgspec.structs.replace(event, source=self._addresses[0])

    async def end_denied(self) -> None:
        """End the uninspected connections that policy does not allow any more."""
        namespace = self._namespace()
        if self._table is None or not namespace:
            return
        self.failure = ""
        for one, rules in self._connections.denied(self._table).items():
            try:
                await asyncio.to_thread(sockdiag.destroy, namespace, one.near, one.far)
            except OSError as error:
                self.failure = f"a denied connection may be open still: {error}"
                continue
            if self._connections.forget(one):
                self._events(ended(self.endpoint, one, rules))
