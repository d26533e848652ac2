"""The outbound listeners: from the application's connect() to the right kind of connection.

A service's address leads to one of its ready endpoints and from there into the inner listener;
any other address is taken as it is. Then, in both: the egress program (deny: closed before
anything is sent), and where the destination lies: in the pods' networks a tunnel, which expects the
identity that owns the address (`routes`); the clear for plain pods and for the world outside. What the
egress program denies whatever is asked is refused together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from tsujiban.policy.program import EndpointProgram
from tsujiban.proxy import filters, matchers, names, rbac, routes
from tsujiban.proxy.decisions import Admission, Class, decision_name
from tsujiban.proxy.encode import sealed
from tsujiban.proxy.matchers import Json
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.services import Services
from tsujiban.proxy.site import Site
from tsujiban.proxy.table import Intervals, Table

_NETWORK_RBAC = "envoy.extensions.filters.network.rbac.v3.RBAC"
_SELF = "self"


class _Chains:
    """Filter chains that a matcher leads to, made as they are needed."""

    def __init__(self, made: Mapping[str, Json] | None = None) -> None:
        self.made: dict[str, Json] = dict(made or {})

    def to(self, name: str, chain: Json) -> Json:
        self.made.setdefault(name, chain)
        return matchers.chain_action(name)

    def refuse(self, decision: str) -> Json:
        return self.to(decision, filters.refusal(decision, decision))

    def listed(self) -> list[Json]:
        return [self.made[name] for name in sorted(self.made)]


def resources(
    site: Site,
    endpoint: EndpointProgram,
    table: Table,
    services: Services,
) -> list[Resource]:
    """Everything outbound but services' and tunnels' own resources: listeners, the egress filter."""
    inner = _Chains()
    inner_choice = _destination(site, endpoint, table, inner)
    outer = _Chains(inner.made)
    choice = _services(site, services, outer, inner_choice)
    return [
        _listener(site, names.OUTBOUND, choice, outer, **site.listens(endpoint, names.OUTBOUND_PORT)),
        _listener(site, names.OUTBOUND_INNER, inner_choice, inner, internal_listener={}),
        routes.configuration(site.name(names.RBAC_EGRESS), _named(table)),
    ]


def _named(table: Table) -> Json:
    return table.once("egress", (), lambda: sealed(rbac.egress_rbac(table)))


def _listener(site: Site, base: str, choice: Json, chains: _Chains, **where: object) -> Resource:
    body: Json = {
        "name": site.name(base),
        "traffic_direction": "OUTBOUND",
        "listener_filters": [filters.ORIGINAL_DST],
        "filter_chain_matcher": choice["matcher"],
        "filter_chains": chains.listed(),
        "access_log": [
            *filters.access_log(site, "egress"),
            *filters.access_log(site, names.UNTOLD_LOG, untold=True),
        ],
        **where,
    }
    return Resource(Kind.LISTENER, site.name(base), body)


def _services(site: Site, services: Services, chains: _Chains, otherwise: Json) -> Json:
    """On match: the addresses of services; of those that lead nowhere, all in one."""
    ranges: list[tuple[Iterable[str], Json]] = []
    for ports, addresses in services.places:
        there = {str(port): chains.to(names.SERVICES, routes.service_chain(site)) for port in ports}
        choice = matchers.exact(matchers.DESTINATION_PORT, there, chains.refuse(rbac.UNLISTED))
        ranges.append((addresses, choice))
    if services.closed:
        ranges.append((services.closed, chains.refuse(rbac.UNLISTED)))
    return matchers.longest_prefix(matchers.DESTINATION_IP, ranges, otherwise)


def _destination(site: Site, endpoint: EndpointProgram, table: Table, chains: _Chains) -> Json:
    def target(where: rbac.Where) -> Json:
        return chains.refuse(rbac.UNLISTED) if where is None else _leads(site, chains, *where)

    trie = rbac.parted(matchers.DESTINATION_IP, rbac.outgoing(table), target)
    # A pod may always reach itself, and its own address never comes back to the proxy.
    own = {"name": _SELF, "filters": [*site.leaves(), filters.tcp_proxy(names.PASSTHROUGH, _SELF)]}
    itself = {one: chains.to(_SELF, own) for one in endpoint.addresses}
    return matchers.exact(matchers.DESTINATION_IP, itself, trie)


def _leads(site: Site, chains: _Chains, leads: str, intervals: Intervals) -> Json:
    return rbac.by_port(intervals, rbac.admission(partial(_admitted, site, chains, leads)))


def _admitted(site: Site, chains: _Chains, leads: str, seen: Admission) -> Json:
    # The client's side reads no HTTP: what only HTTP clauses would allow is refused here.
    if seen.kind is not Class.TCP:
        return chains.refuse(decision_name(Class.DENY, seen.rules))
    name = leads or names.PASSTHROUGH
    egress = filters.discovered(site, names.RBAC_EGRESS, _NETWORK_RBAC)
    way = routes.chain_filters(site) if leads else [*site.leaves(), filters.tcp_proxy(name, "egress")]
    return chains.to(name, {"name": name, "filters": [egress, *way]})
