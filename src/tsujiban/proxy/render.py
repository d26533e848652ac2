"""One endpoint's share of a node's state, as the resources that its proxy is given. Pure.

A `Renderer` stays with its endpoint. What it makes is made of pieces, each of which is made again only
when something that goes into it has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from tsujiban.policy.program import Direction, EndpointProgram, NodeState
from tsujiban.proxy import clusters, external, inbound, names, outbound, routes
from tsujiban.proxy.parting import Parting
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.programs import Programs
from tsujiban.proxy.reach import Reach, has_staged
from tsujiban.proxy.resource import Resource, Resources, collect
from tsujiban.proxy.services import Services
from tsujiban.proxy.site import SIDECAR, Site
from tsujiban.proxy.table import Table
from tsujiban.proxy.unlisted import Tables


class Renderer:
    """One endpoint's resources, but its secrets, for where its proxy is."""

    def __init__(self, endpoint_id: str, site: Site = SIDECAR, programs: Programs | None = None) -> None:
        """`programs`: shared with other endpoints' renderers; who shares them tells them who has moved."""
        self.resources: Resources = {}
        self.tables: Tables | None = None
        self.work: Counter[str] = Counter()  # how often each piece has been made
        self.parting = Parting.NONE
        self.crl = ""  # the signed list of revoked certificates
        self.revoked: frozenset[str] = frozenset()  # serial numbers on it, hex
        self._endpoint_id = endpoint_id
        self._site = site
        self._programs = programs if programs is not None else Programs()
        self._forget()

    def _forget(self) -> None:
        self.tables = None
        self.resources = {}
        self._reach: dict[str, Reach] = {}
        self._services = Services(self._site)
        self._pieces: dict[str, tuple[tuple[object, ...], list[Resource]]] = {}
        self._pod_cidrs: tuple[str, ...] = ()

    def take(self, state: NodeState, peers: Peers, changed: Iterable[str], pod_cidrs: Iterable[str]) -> None:
        """Take a new state. `changed` are the addresses whose owners, in `peers`, are others than when it was
        called last. Without the endpoint there is nothing to enforce, and the proxy must stay without
        configuration, which is to say closed."""
        endpoint = state.endpoints.get(self._endpoint_id)
        if endpoint is None:
            self._forget()
            return
        self._pod_cidrs = tuple(pod_cidrs)
        self._programs.moved(changed)
        incoming = self._table("ingress", state, endpoint, peers)
        outgoing = self._table("egress", state, endpoint, peers)
        staged = self._staged("staged", state, endpoint, peers, Direction.INGRESS)
        staged_egress = self._staged("staged egress", state, endpoint, peers, Direction.EGRESS)
        question = external.question(state, endpoint)
        marks = None
        if question is not None:
            marks = self._table("marks", question.alone, question.bare, peers)
        else:
            self._reach.pop("marks", None)
        tables = Tables(incoming, outgoing, staged, staged_egress)
        self.tables = self.tables if self.tables == tables else tables
        self.revoked, self.crl = self._reach["ingress"].revoked, self._reach["ingress"].crl
        self._services.follow(state.services, outgoing, peers, endpoint.addresses)
        self.resources = collect(
            [
                *self._made(endpoint, tables, peers),
                *self._piece(
                    "external",
                    (question, marks),
                    lambda: external.resources(self._site, question, marks),
                ),
            ]
        )

    @property
    def avoided(self) -> frozenset[str]:
        """Identities that were revoked: nobody speaks to them."""
        reach = self._reach.get("ingress")
        return frozenset() if reach is None else reach.revoked_identities

    def reaches(self, address: str) -> bool:
        """Whether the endpoint may open a connection to an address, whoever owns it."""
        reach = self._reach.get("egress")
        return reach is not None and reach.opens(address)

    @property
    def services_revision(self) -> int:
        """How often the services that it may use have changed."""
        return self._services.revision

    def ask_service(self, where: str) -> tuple[Resource | None, bool]:
        """See `Services.ask`."""
        return self._services.ask(where)

    def _staged(
        self, name: str, state: NodeState, endpoint: EndpointProgram, peers: Peers, direction: Direction
    ) -> Table | None:
        if has_staged(state, endpoint, direction):
            return self._table(name, state, endpoint, peers)
        self._reach.pop(name, None)
        return None

    def _table(self, name: str, state: NodeState, endpoint: EndpointProgram, peers: Peers) -> Table:
        outgoing = name in {"egress", "staged egress"}
        direction = Direction.EGRESS if outgoing else Direction.INGRESS
        networks = self._pod_cidrs if outgoing else ()
        reach, made = self._programs.find(
            state, endpoint, direction, peers, networks, staged=name.startswith("staged")
        )
        if made:
            self.work[f"{name} table"] += 1
        self._reach[name] = reach
        return reach.table

    def _made(self, endpoint: EndpointProgram, tables: Tables, peers: Peers) -> list[Resource]:
        site, services = self._site, self._services
        incoming, outgoing, staged, _ = tables
        named, revoked = self._reach["ingress"].headers, self._reach["ingress"].revoked
        plaintext = inbound.plaintext_rows(endpoint.authentication, incoming)
        listed = routes.nearby(outgoing, peers, self.avoided)

        def constant() -> list[Resource]:
            inner = clusters.internal(site.name(names.INBOUND_INNER))
            return [clusters.app(site), clusters.passthrough(site), inner]

        return [
            *self._piece("constant", (), constant),
            *self._piece(
                "authorization",
                (endpoint.jwt, endpoint.authentication, incoming, staged, named, revoked, self.parting),
                lambda: inbound.authorization(site, endpoint, incoming, staged, named, revoked, self.parting),
            ),
            *self._piece("revocations", (revoked,), lambda: routes.revocations(site, revoked)),
            *self._piece(
                "inbound",
                (endpoint.addresses, endpoint.authentication, endpoint.named_ports, plaintext),
                lambda: [inbound.listener(site, endpoint, incoming), inbound.inner_listener(site, endpoint)],
            ),
            *self._piece(
                "outbound",
                (endpoint.addresses, outgoing, services.places, services.closed),
                lambda: outbound.resources(site, endpoint, outgoing, services),
            ),
            *self._piece("routes", (listed,), lambda: routes.resources(site, listed)),
            *services.resources(),
        ]

    def _piece(
        self, name: str, made_of: tuple[object, ...], make: Callable[[], list[Resource]]
    ) -> list[Resource]:
        known = self._pieces.get(name)
        if known is not None and known[0] == made_of:
            return known[1]
        self.work[name] += 1
        made = make()
        self._pieces[name] = (made_of, made)
        return made


def render(state: NodeState, endpoint_id: str, pod_cidrs: Iterable[str], site: Site = SIDECAR) -> Renderer:
    """All of an endpoint at once. Raises KeyError when the state holds no such endpoint."""
    if endpoint_id not in state.endpoints:
        raise KeyError(endpoint_id)
    renderer = Renderer(endpoint_id, site)
    renderer.take(state, Peers(state.peers), (), pod_cidrs)
    return renderer
