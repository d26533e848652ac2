"""The way of an outgoing connection into a tunnel: which cluster it takes, and how a proxy comes by that.

A tunnel's cluster is named by the address that it leads to, and demands the identity that owns the address.
So a proxy needs no table of who owns what. A pod whose policy lets it reach few is sent their clusters
beforehand; any other has its proxy ask for each one when it is first used (on-demand discovery), and what
that holds grows with what it speaks to, not with the cluster.

Envoy 1.40 asks for a name once, however often it is answered: from then on it is to be told of changes
(`ondemand`). Nor does it ever forget one: so it tells of each connection that begins, and what has not been
used for long can be taken from it and given again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from tsujiban.policy.addresses import is_host
from tsujiban.proxy import clusters, filters, names
from tsujiban.proxy.bootstrap import AGENT
from tsujiban.proxy.matchers import Json, untyped
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import Site
from tsujiban.proxy.table import Table

FEW = 64  # clusters that are sent beforehand
ASK_SECONDS = 5  # a connection waits so long for its cluster
_OPEN = ("TcpUpstreamConnected", "TcpPeriodic")  # records of connections that are open
_BEGUN = ("TcpConnectionStart",)  # and of those that begin
CLUSTER_STATE = "envoy.tcp_proxy.cluster"  # filter state: the cluster that tcp_proxy takes

# a stream of its own: what one asks for and what all are sent would get mixed up on the aggregated one
_ON_DEMAND: Json = {
    "odcds_config": {
        "api_config_source": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "grpc_services": [AGENT],
        },
        "resource_api_version": "V3",
    },
    "timeout": f"{ASK_SECONDS}s",
}

Nearby = tuple[tuple[str, str], ...]  # (address, identity)


def nearby(table: Table, peers: Peers, avoided: frozenset[str]) -> Nearby | None:
    """All tunnels that an egress table leaves open to others than `avoided`; None if they may be many."""
    found: list[str] = []
    for row in table.rows.get(names.MESH, ()):
        found += row.prefixes
        if len(found) > FEW or not all(map(is_host, row.prefixes)):
            return None
    owned = ((address, peers.owner(address)) for address in sorted(found))
    return tuple((address, owner) for address, owner in owned if owner and owner not in avoided)


def resources(site: Site, listed: Nearby | None) -> list[Resource]:
    """What names the clusters, and those that are sent beforehand."""
    generation = names.ASKED if listed is None else names.LISTED
    cluster = names.mesh_cluster(generation, "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%")
    values = [
        filters.state_value(CLUSTER_STATE, cluster, share=False, own=True),
        filters.state_value(names.TUNNEL_STATE, cluster, share=False),
    ]
    return [
        configuration(site.name(names.ROUTE), filters.on_connection(values)),
        *(
            clusters.mesh(site, names.mesh_cluster(names.LISTED, address), identity)
            for address, identity in listed or ()
        ),
    ]


def to_services(site: Site, generation: str) -> Resource:
    """What names the cluster of a connection to a service's address."""
    where = site.name(names.service_cluster(generation, "%DOWNSTREAM_LOCAL_ADDRESS%"))
    values = [
        filters.state_value(CLUSTER_STATE, where, share=False, own=True),
        filters.state_value(names.TUNNEL_STATE, where, share=False),
    ]
    return configuration(site.name(names.SERVICE_ROUTE), filters.on_connection(values))


def service_chain(site: Site) -> Json:
    """The filter chain of connections to services' addresses."""
    route = filters.discovered(site, names.SERVICE_ROUTE, filters.NETWORK_STATE)
    proxy = filters.tcp_proxy(names.SERVICES, "service", on_demand=_ON_DEMAND)
    return {"name": names.SERVICES, "filters": [route, proxy]}


def chain_filters(site: Site) -> list[Json]:
    """The end of a filter chain whose connections take a tunnel."""
    return [
        filters.discovered(site, names.REVOCATIONS, filters.NETWORK_STATE),
        filters.discovered(site, names.ROUTE, filters.NETWORK_STATE),
        *site.leaves(),
        _tunnel(site),
    ]


def _tunnel(site: Site) -> Json:
    """The agent is told whom each open tunnel leads to, by certificate: it may be revoked meanwhile."""
    tags = {names.CERTIFICATE_TAG: "%UPSTREAM_PEER_CERT%"}  # Envoy has no word for its serial number alone
    config = untyped(
        filters.TCP_PROXY,
        stat_prefix="egress",
        cluster=names.MESH,  # which is no cluster: the name of one was set before
        idle_timeout="0s",
        tunneling_config={"hostname": "%DOWNSTREAM_LOCAL_ADDRESS%"},
        on_demand=_ON_DEMAND,
        access_log=[
            *filters.access_log(site, names.TUNNEL_LOG, tags=tags, only=_OPEN),
            *filters.access_log(site, names.WANTED_LOG, only=_BEGUN),
        ],
        access_log_options={
            "flush_access_log_on_start": True,  # of Envoy 1.38, not of the stubs
            "flush_access_log_on_connected": True,
            "access_log_flush_interval": filters.CONNECTIONS_REPEATED,
        },
    )
    return {"name": "tcp", "typed_config": config}


def revocations(site: Site, revoked: Iterable[str]) -> list[Resource]:
    """What parts connections to servers by the list of certificates under which they were made: Envoy
    shares none with one that was made under another, so no new tunnel leads to a server that has shown
    its certificate before the list named it."""
    text = hashlib.sha256(" ".join(sorted(revoked)).encode()).hexdigest()[:16]
    state = filters.state_value(names.REVOCATIONS_STATE, text)
    return [configuration(site.name(names.REVOCATIONS), filters.on_connection([state]))]


def configuration(name: str, config: Json) -> Resource:
    """A filter's configuration. Where nothing may leave there is no such filter, and Envoy asks for none."""
    return Resource(Kind.EXTENSION, name, {"name": name, "typed_config": config}, on_demand=True)
