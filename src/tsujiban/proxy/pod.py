"""One pod as the proxy post serves it: its resources, its key, and what passes it uninspected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec

from tsujiban.policy.program import JwtRule, NodeState, ServiceProgram
from tsujiban.proxy import sockdiag
from tsujiban.proxy.accesslog import TOKEN_REFUSED, ProxyEvent
from tsujiban.proxy.connections import Connections, ended, refusal
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.programs import Programs
from tsujiban.proxy.render import Renderer
from tsujiban.proxy.resource import Kind, Resource, Resources
from tsujiban.proxy.site import NodeSite, Site
from tsujiban.proxy.unlisted import Tables, explained


class ServedPod:
    """A pod of this node. `namespace` gives the path of its network namespace, "" when it is unknown."""

    def __init__(
        self,
        endpoint: str,
        site: Site,
        namespace: Callable[[], str],
        events: Callable[[ProxyEvent], None],
        programs: Programs,
    ) -> None:
        self.endpoint = endpoint
        self.site = site
        self.failure = ""
        self.secrets: dict[str, Resource] = {}
        self._namespace = namespace
        self._events = events
        self.renderer = Renderer(endpoint, site, programs)
        self._rendered: Resources = {}
        self._peers = Peers()
        self._services: Mapping[str, ServiceProgram] = {}
        self._tables: list[Tables] = []  # the newest, and those before it
        self._addresses: tuple[str, ...] = ()
        self._tokens: tuple[JwtRule, ...] = ()
        self._connections = Connections()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def resources(self) -> Resources:
        """All that its proxy should hold. In a node's Envoy nothing, until there is a key: a listener that
        waits for one would keep all the others waiting when Envoy starts."""
        if isinstance(self.site, NodeSite) and not self.secrets:
            return {}
        return {**self._rendered, Kind.SECRET: self.secrets}

    def render(self, state: NodeState, pod_cidrs: Iterable[str], peers: Peers) -> None:
        """Take a new state, and `peers` of it. What has not changed keeps its encoded form."""
        self._peers, self._services = peers, state.services
        before = self.renderer.tables
        self.renderer.take(state, peers, (), pod_cidrs)
        newest = self.renderer.tables
        if newest is not before:
            self._tables = [one for one in (newest, before) if one is not None]
        fresh = self.renderer.resources
        for kind, resources in fresh.items():
            old = self._rendered.get(kind, {})
            for name, one in resources.items():
                if name in old and old[name].version == one.version:
                    resources[name] = old[name]
                else:
                    one.encoded()  # now, while it is this pod's turn
        self._rendered = fresh
        program = state.endpoints.get(self.endpoint)
        self._addresses = program.addresses if program is not None else ()
        self._tokens = program.jwt if program is not None else ()

    def event(self, event: ProxyEvent) -> None:
        """Take a record of its proxy's."""
        table = self.renderer.tables.ingress if self.renderer.tables is not None else None
        if event.log == "tcp":
            connection = self._connections.note(event)
            # One that opened just before a change, or that an agent before this one let be.
            if connection and table and refusal(table, connection) is not None:
                task = asyncio.create_task(self.end_denied())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if not event.periodic:
            event = self._with_missing_token(self._with_source(event))
            if self._tables:
                event = explained(event, self._tables, self._peers, self._services)
            self._events(event)

    def _with_source(self, event: ProxyEvent) -> ProxyEvent:
        """What came through a service's address came from the pod, though from inside the proxy."""
        if event.source or event.direction != "egress" or not self._addresses:
            return event
        return msgspec.structs.replace(event, source=self._addresses[0])

    def _with_missing_token(self, event: ProxyEvent) -> ProxyEvent:
        """Envoy does not say whose token was missing: that of the first rule that demands one."""
        required = tuple(rule.id for rule in self._tokens if rule.required)
        if event.rules or not required or not event.detail.startswith(TOKEN_REFUSED):
            return event
        return msgspec.structs.replace(event, rules=required[:1])

    async def end_denied(self) -> None:
        """End the uninspected connections that policy does not allow any more."""
        namespace = self._namespace()
        if self.renderer.tables is None or not namespace:
            return
        self.failure = ""
        for one, rules in self._connections.denied(self.renderer.tables.ingress).items():
            try:
                await asyncio.to_thread(sockdiag.destroy, namespace, one.near, one.far)
            except OSError as error:
                self.failure = f"a denied connection may be open still: {error}"
                continue
            if self._connections.forget(one):
                self._events(ended(self.endpoint, one, rules))
