"""The outbound listeners: from the application's connect() to the right kind of connection.

A service's address leads to one of its ready endpoints and from there into the inner listener;
any other address is taken as it is. Then, in both: the egress program (deny: closed before
anything is sent), and by whom the destination belongs to: a tunnel that expects the identity that
owns the address, or the clear for plain pods and for the world outside, or refusal for an address
of the pods' networks that nobody is known to own.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from tsujiban.policy.program import EndpointProgram, NodeState
from tsujiban.proxy import filters, matchers, names, rbac
from tsujiban.proxy.clusters import endpoints, mesh, service
from tsujiban.proxy.decisions import Admission, Class, decision_name
from tsujiban.proxy.matchers import Json
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import Site
from tsujiban.proxy.table import Table

_NETWORK_RBAC = "envoy.extensions.filters.network.rbac.v3.RBAC"
_UNKNOWN = decision_name(Class.DENY, (names.UNKNOWN_RULE,))
_SELF = "self"


class _Chains:
    """Filter chains that a matcher leads to, made as they are needed."""

    def __init__(self) -> None:
        self.made: dict[str, Json] = {}

    def to(self, name: str, chain: Json) -> Json:
        self.made.setdefault(name, chain)
        return matchers.chain_action(name)

    def refuse(self, decision: str) -> Json:
        return self.to(decision, filters.refusal(decision, decision))

    def listed(self) -> list[Json]:
        return [self.made[name] for name in sorted(self.made)]


def resources(
    site: Site, state: NodeState, endpoint: EndpointProgram, table: Table, pod_cidrs: Iterable[str]
) -> list[Resource]:
    """Everything outbound: listeners, the egress filter, tunnels by identity, services."""
    out: list[Resource] = []
    inner = _Chains()
    inner_choice = _destination(site, endpoint, table, pod_cidrs, inner)
    outer = _Chains()
    choice = _destination(site, endpoint, table, pod_cidrs, outer)
    virtual = _services(site, state, outer, out)
    choice = matchers.exact(matchers.DESTINATION_IP, virtual, choice)
    out.append(
        _listener(
            site,
            names.OUTBOUND,
            choice,
            outer,
            **site.listens(endpoint, names.OUTBOUND_PORT),
        )
    )
    out.append(_listener(site, names.OUTBOUND_INNER, inner_choice, inner, internal_listener={}))
    out += [mesh(site, identity) for identity in sorted(table.rows) if identity]
    name = site.name(names.RBAC_EGRESS)
    egress = {"name": name, "typed_config": rbac.egress_rbac(table)}
    out.append(Resource(Kind.EXTENSION, name, egress))
    return out


def _listener(site: Site, base: str, choice: Json, chains: _Chains, **where: object) -> Resource:
    body: Json = {
        "name": site.name(base),
        "traffic_direction": "OUTBOUND",
        "listener_filters": [filters.ORIGINAL_DST],
        "filter_chain_matcher": choice["matcher"],
        "filter_chains": chains.listed(),
        "access_log": filters.access_log(site, "egress"),
        **where,
    }
    return Resource(Kind.LISTENER, site.name(base), body)


def _services(site: Site, state: NodeState, chains: _Chains, out: list[Resource]) -> dict[str, Json]:
    virtual: dict[str, Json] = {}
    for identifier, program in sorted(state.services.items()):
        ports: dict[str, Json] = {}
        for port in program.ports:
            if port.protocol != 6 or not program.addresses:
                continue
            name = site.name(names.service_cluster(identifier, port.port))
            chain = {"name": name, "filters": [filters.tcp_proxy(name, "service")]}
            ports[str(port.port)] = chains.to(name, chain)
            out += (service(site, identifier, port.port), endpoints(site, identifier, port))
        for one in program.addresses:
            refuse = chains.refuse(_UNKNOWN)
            virtual[one] = matchers.exact(matchers.DESTINATION_PORT, ports, refuse)
    return virtual


def _destination(
    site: Site, endpoint: EndpointProgram, table: Table, pod_cidrs: Iterable[str], chains: _Chains
) -> Json:
    ranges: list[tuple[Iterable[str], Json]] = []
    for identity, rows in sorted(table.rows.items()):
        render = rbac.admission(partial(_admitted, site, chains, identity))
        ranges += [(row.cell.prefixes, rbac.by_port(row.intervals, render)) for row in rows]
    listed = {net for nets, _ in ranges for net in nets}
    ranges.append((sorted(set(pod_cidrs) - listed), chains.refuse(_UNKNOWN)))
    outside = rbac.admission(partial(_admitted, site, chains, ""))
    for net, version in (("0.0.0.0/0", 4), ("::/0", 6)):
        if net not in listed:
            ranges.append(((net,), rbac.by_port(table.rest[version], outside)))
    trie = matchers.longest_prefix(matchers.DESTINATION_IP, ranges, None)
    # A pod may always reach itself, and its own address never comes back to the proxy.
    own = {"name": _SELF, "filters": [*site.leaves(), filters.tcp_proxy(names.PASSTHROUGH, _SELF)]}
    itself = {one: chains.to(_SELF, own) for one in endpoint.addresses}
    return matchers.exact(matchers.DESTINATION_IP, itself, trie)


def _admitted(site: Site, chains: _Chains, identity: str, seen: Admission) -> Json:
    # The client's side reads no HTTP: what only HTTP clauses would allow is refused here.
    if seen.kind is not Class.TCP:
        return chains.refuse(decision_name(Class.DENY, seen.rules))
    name = names.mesh_cluster(identity) if identity else names.PASSTHROUGH
    tunnel: Json = {"tunneling_config": {"hostname": "%DOWNSTREAM_LOCAL_ADDRESS%"}} if identity else {}
    proxy = filters.tcp_proxy(name, "egress", **tunnel)
    egress = filters.discovered(site, names.RBAC_EGRESS, _NETWORK_RBAC)
    return chains.to(name, {"name": name, "filters": [egress, *site.leaves(), proxy]})
