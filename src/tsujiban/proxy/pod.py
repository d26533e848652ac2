"""One pod as the proxy post serves it: its resources, its key, and what passes it uninspected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

import msgspec

from tsujiban.identity import crl
from tsujiban.identity.svid import Svid
from tsujiban.identity.verify import VerificationError
from tsujiban.policy.program import JwtRule, NodeState, ServiceProgram
from tsujiban.proxy import names, requests, sockdiag, tls, tunnels
from tsujiban.proxy.accesslog import TOKEN_REFUSED, ProxyEvent
from tsujiban.proxy.connections import Connection, Connections, ended, foreign, refusal
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.programs import Programs
from tsujiban.proxy.render import Renderer
from tsujiban.proxy.requests import Requests
from tsujiban.proxy.resource import Kind, Resource, Resources
from tsujiban.proxy.site import NodeSite, Site
from tsujiban.proxy.tunnels import Tunnels
from tsujiban.proxy.unlisted import Tables, explained

LEAVING_LOOKS, LOOK_SECONDS = 100, 0.02  # how long an ended proxy may still count as connected


class ServedPod:
    """A pod of this node. `namespace` gives the path of its network namespace, "" when it is unknown."""

    def __init__(
        self,
        endpoint: str,
        site: Site,
        namespace: Callable[[], str],
        events: Callable[[ProxyEvent], None],
        programs: Programs,
        took: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`took` is told how many changes of who owns what its proxy's tables were made with (`owners`)."""
        self.endpoint = endpoint
        self.site = site
        self.failure = ""
        self.secrets: dict[str, Resource] = {}
        self._svid: Svid | None = None
        self._crl = ""  # the newest good list of revoked certificates
        self._crl_failure = ""
        self._made_of: tuple[object, ...] = ()
        self._namespace = namespace
        self._events = events
        self.renderer = Renderer(endpoint, site, programs)
        self._rendered: Resources = {}
        self._peers = Peers()
        self._services: Mapping[str, ServiceProgram] = {}
        self._tables: list[Tables] = []  # the newest, and those before it
        self._addresses: tuple[str, ...] = ()
        self._tokens: tuple[JwtRule, ...] = ()
        self._took = took
        self._accepted = 0  # what `took` is to be told
        self._former: dict[str, str] = {}  # owners of addresses whose tunnels are to be ended
        self._former_failure = ""  # why they could not be, as long as they could not
        self._connections = Connections()
        self._tunnels = Tunnels()
        self._requests = Requests()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Lock()

    @property
    def problem(self) -> str:
        """What could not be done for it; "" is well."""
        return self._crl_failure or self.failure or self._former_failure

    @property
    def resources(self) -> Resources:
        """All that its proxy should hold. In a node's Envoy nothing, until there is a key: a listener that
        waits for one would keep all the others waiting when Envoy starts."""
        if self.keyless is not None:
            return {}
        return {**self._rendered, Kind.SECRET: self.secrets}

    @property
    def keyless(self) -> Resources | None:
        """What a node's Envoy should hold of it if it has a key for it from an agent before this one, who has
        none yet; None when there is a key, or an Envoy of its own."""
        return self._rendered if isinstance(self.site, NodeSite) and not self.secrets else None

    @property
    def revokes(self) -> bool:
        """Whether there are revoked certificates, the list of which goes with its key."""
        return bool(self.renderer.crl or self.renderer.revoked)

    def certify(self, svid: Svid) -> None:
        """Give it a certificate, key and trust bundle, or new ones."""
        self._svid = svid
        self._take_crl()

    def _take_crl(self) -> None:
        """Believe the list of revoked certificates, if it is one. Else the one before it counts on, and no
        revision is in force: with a list that is none Envoy would refuse everybody, whatever they show."""
        made_of = self.renderer.crl, self.renderer.revoked, self._svid
        if self._svid is None or made_of == self._made_of:
            return
        self._made_of = made_of
        wanted = self.renderer.crl
        self._crl_failure = ""
        if self.revokes:
            try:
                crl.check(
                    wanted, self._svid.chain_pem, self._svid.bundle_pem, self.renderer.revoked, time.time()
                )
            except VerificationError as error:
                self._crl_failure = str(error)
                wanted = self._crl
        self._crl = wanted
        self.secrets = {one.name: one for one in tls.secrets(self._svid, self.site, wanted)}

    def render(self, state: NodeState, pod_cidrs: Iterable[str], peers: Peers) -> None:
        """Take a new state, and `peers` of it. What has not changed keeps its encoded form."""
        self._peers, self._services = peers, state.services
        before = self.renderer.tables
        self.renderer.take(state, peers, (), pod_cidrs)
        self._take_crl()
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

    def tunnel_to(self, address: str, former: str) -> str:
        """The identity that a tunnel of the pod's to an address has to find there; "" if it may open none.
        `former` owned an address that is nobody's any more."""
        owner = self._peers.owner(address) or former
        may = owner and owner not in self.renderer.avoided and self.renderer.reaches(address)
        return owner if may else ""

    def moved(self, former: Mapping[str, str]) -> None:
        """These addresses are not these identities' any more. Its proxy, if it lets in crowds, has looked at
        who owns an address when a tunnel was opened: so what they have opened is ended."""
        if former:
            self._former |= former
            self._soon()

    def accepted(self, sequence: int) -> None:
        """Its proxy has tables that were made with so many changes of who owns what."""
        self._accepted = sequence
        if self._former:
            self._soon()
        else:
            self._took(sequence)

    def event(self, event: ProxyEvent) -> None:
        """Take a record of its proxy's."""
        table = self.renderer.tables.ingress if self.renderer.tables is not None else None
        if event.log == names.TUNNEL_LOG:
            tunnel = self._tunnels.note(event)
            if tunnels.refusal(tunnel, self.renderer.revoked, self.renderer.avoided) is not None:
                self._soon()
            return
        if event.log == names.REQUEST_LOG:
            request = self._requests.note(event, table)
            revoked = self.renderer.revoked
            if table and requests.refusal(table, request, time.time(), revoked=revoked) is not None:
                self._soon()
            return
        if event.log == "http":
            self._requests.over(event.request_id)
        if event.log == "tcp":
            connection = self._connections.note(event)
            # One that opened just before a change, or that an agent before this one let be.
            if connection and table and refusal(table, connection, self.renderer.revoked) is not None:
                self._soon()
        if not event.periodic:
            event = self._with_missing_token(self._with_source(event))
            if self._tables:
                event = explained(event, self._tables, self._peers, self._services, self.renderer.avoided)
            self._events(event)

    def _soon(self) -> None:
        task = asyncio.create_task(self.end_denied())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
        """End the uninspected connections and the requests that policy does not allow any more, and the
        connections to servers whose certificates are not taken any more. Who returns knows also that what
        another call has begun to end has ended."""
        async with self._ending:
            await self._end_denied()

    async def _end_denied(self) -> None:
        namespace = self._namespace()
        if self.renderer.tables is None or not namespace:
            return
        ingress, revoked = self.renderer.tables.ingress, self.renderer.revoked
        came = self._connections.denied(ingress, revoked)
        failures = [await self._end(namespace, self._connections, came, "ingress")]
        asked = self._requests.denied(ingress, revoked)
        failures.append(await self._end(namespace, self._requests, asked, "ingress"))
        went = self._tunnels.denied(revoked, self.renderer.avoided)
        failures.append(await self._end(namespace, self._tunnels, went, "egress"))
        self.failure = next(filter(None, failures), "")
        await self._end_former(namespace, crowds=bool(ingress.crowds))

    async def _end_former(self, namespace: str, *, crowds: bool) -> None:
        """End the tunnels of those who do not own their addresses any more."""
        former = dict(self._former)
        try:
            if former and crowds:
                found = await asyncio.to_thread(
                    sockdiag.destroy_from, namespace, former.keys(), names.INBOUND_PORT
                )
                for near, far in found:
                    self._events(foreign(self.endpoint, near, far, former[far[0]]))
        except OSError as error:
            # another attempt may have ended them meanwhile
            if not await self._has_left(namespace, error) and self._former:
                self._former_failure = f"a tunnel from an address with another owner may be open: {error}"
            return
        self._former = {one: owner for one, owner in self._former.items() if former.get(one) != owner}
        if not self._former:
            self._former_failure = ""
            self._took(self._accepted)

    async def _has_left(self, namespace: str, error: OSError) -> bool:
        """Whether its proxy is not connected any more, as is heard a moment after the process has ended
        through which the namespace was to be entered. What it had open has ended with it, or is another's to
        tell of."""
        gone = isinstance(error, FileNotFoundError) and error.filename == namespace
        if isinstance(self.site, NodeSite) or not gone:
            return False
        for _ in range(LEAVING_LOOKS):
            if self._namespace() != namespace:
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    async def _end(
        self,
        namespace: str,
        among: Connections | Tunnels | Requests,
        denied: Mapping[Connection, tuple[str, ...]],
        direction: str,
    ) -> str:
        """Why not all could be ended; "" when they were."""
        failure = ""
        for one, rules in denied.items():
            if not among.forget(one):  # first: Envoy may tell of its end before we go on
                continue
            try:
                there = await asyncio.to_thread(sockdiag.destroy, namespace, one.near, one.far)
            except asyncio.CancelledError:
                among.put_back(one)  # nobody will hear what came of it
                raise
            except OSError as error:
                among.put_back(one)
                if not await self._has_left(namespace, error):
                    failure = f"a denied connection may be open still: {error}"
            else:
                if there:
                    self._events(ended(self.endpoint, one, rules, direction))
        return failure
