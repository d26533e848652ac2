"""Clusters: the application, the clear, tunnels by identity, and the endpoints of services.

A tunnel goes to the original destination address *and port*: the kernel's port policy at the
other end stays true, and each address is asked for the identity that owns it.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf import json_format

from tsujiban.policy.program import ExternalAuthorizer, ServicePort
from tsujiban.proxy import names, tls
from tsujiban.proxy.matchers import Json, typed
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import Site

CONNECT_TIMEOUT = "5s"
_MANY = 1 << 30
_UNLIMITED: Json = {
    "thresholds": [{"max_connections": _MANY, "max_pending_requests": _MANY, "max_requests": _MANY}]
}
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
PRESERVE_CASE: Json = {
    "header_key_format": {
        "stateful_formatter": {
            "name": "preserve_case",
            "typed_config": typed(
                "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
            ),
        }
    }
}


def _original(name: str, **fields: object) -> Resource:
    body: Json = {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": CONNECT_TIMEOUT,
        "circuit_breakers": _UNLIMITED,
        **fields,
    }
    return Resource(Kind.CLUSTER, name, body)


def app(site: Site) -> Resource:
    """The application at the address and port that the client meant, in the client's HTTP."""
    options = typed(
        _HTTP,
        use_downstream_protocol_config={
            "http_protocol_options": PRESERVE_CASE,
            "http2_protocol_options": {},
        },
    )
    return _original(names.APP, typed_extension_protocol_options={_HTTP: options}, **site.binds())


def passthrough(site: Site) -> Resource:
    """The original destination, in the clear."""
    return _original(names.PASSTHROUGH, **site.binds())


# A pooled connection that is dropped without a reset says nothing: after a second without a byte it is
# asked before it is used, and given up when it does not answer. With it go all tunnels on it, so a peer whose
# machine stands still for some seconds must not lose it.
_KEEPALIVE: Json = {"interval": "30s", "timeout": "5s", "connection_idle_interval": "1s"}


def mesh(site: Site, name: str, identity: str) -> Resource:
    """Tunnels to an address that `identity` owns. A pooled connection takes new tunnels for ten
    minutes at most, so that none outlives its certificate by much."""
    options = typed(
        _HTTP,
        explicit_http_config={"http2_protocol_options": {"connection_keepalive": _KEEPALIVE}},
        common_http_protocol_options={
            "idle_timeout": "60s",
            "max_connection_duration": "600s",
        },
    )
    return _original(
        name,
        typed_extension_protocol_options={_HTTP: options},
        transport_socket=tls.client(site, identity),
        **site.binds(),
    )


def nobody(name: str) -> Resource:
    """Where no tunnel leads: connections are refused at once."""
    body: Json = {"name": name, "type": "STATIC", "connect_timeout": CONNECT_TIMEOUT}
    return Resource(Kind.CLUSTER, name, body)


def internal(name: str) -> Resource:
    """An internal listener of this proxy, as a cluster of the same name with one endpoint."""
    address = {"envoy_internal_address": {"server_listener_name": name, "endpoint_id": "in"}}
    body: Json = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": CONNECT_TIMEOUT,
        "circuit_breakers": _UNLIMITED,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "transport_socket": internal_socket([]),
    }
    return Resource(Kind.CLUSTER, name, body)


def internal_socket(passed: list[Json]) -> Json:
    """Transport socket into an internal listener; `passed` is the metadata that goes along."""
    plain = {
        "name": "raw",
        "typed_config": typed("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"),
    }
    config = typed(
        "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
        transport_socket=plain,
        passthrough_metadata=passed,
    )
    return {"name": "internal", "typed_config": config}


# where an endpoint is, for the internal listener that leads to it
_ORIGINAL_DST: list[Json] = [{"kind": {"host": {}}, "name": "envoy.filters.listener.original_dst"}]


def service(site: Site, name: str) -> Resource:
    """A service's port; its endpoints come by EDS."""
    body: Json = {
        "name": name,
        "type": "EDS",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": CONNECT_TIMEOUT,
        "circuit_breakers": _UNLIMITED,
        "eds_cluster_config": {"eds_config": site.ads()},
        "transport_socket": internal_socket(_ORIGINAL_DST),
    }
    return Resource(Kind.CLUSTER, name, body)


def authorizer(site: Site, asked: ExternalAuthorizer, port: ServicePort) -> Resource:
    """The ready endpoints of a service that the proxy itself asks, the way of the pod's connections: into
    the inner outbound listener. Listed in place: Envoy would not be told of a service's endpoints twice."""
    name = site.name(names.authorizer_cluster(asked.service, asked.port))
    options: Json = {"http2_protocol_options": {}} if asked.grpc else {"http_protocol_options": {}}
    body: Json = {
        "name": name,
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": CONNECT_TIMEOUT,
        "circuit_breakers": _UNLIMITED,
        "transport_socket": internal_socket(_ORIGINAL_DST),
        "typed_extension_protocol_options": {_HTTP: typed(_HTTP, explicit_http_config=options)},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": _backends(site, port)}]},
    }
    return Resource(Kind.CLUSTER, name, body)


def endpoints(site: Site, name: str, port: ServicePort, *, asked: bool = False) -> Resource:
    """The ready endpoints of a service's port, for the cluster of that name, which Envoy has perhaps `asked`
    for. Each leads into the inner outbound listener, which treats it as a connection to that very address."""
    listed = _backends(site, port)
    body: Json = {"cluster_name": name, "endpoints": [{"lb_endpoints": listed}] if listed else []}
    return Resource(Kind.ENDPOINT, name, body, on_demand=asked)


def _backends(site: Site, port: ServicePort) -> list[Json]:
    listed: list[Json] = []
    for backend in sorted(port.backends, key=lambda one: (one.address, one.port)):
        where = names.end(backend.address, backend.port)
        internal_address = {
            "server_listener_name": site.name(names.OUTBOUND_INNER),
            "endpoint_id": where,
        }
        listed.append(
            {
                "endpoint": {"address": {"envoy_internal_address": internal_address}},
                "metadata": {"filter_metadata": {"envoy.filters.listener.original_dst": {"local": where}}},
            }
        )
    return listed


def service_clusters(clusters: Mapping[str, Resource]) -> set[str]:
    """Those of the clusters whose endpoints come by EDS."""
    prefix = names.SERVICE_CLUSTER
    return {name for name in clusters if name.removeprefix(names.owner(name)).startswith(prefix)}


def staying(old: Resource, new: Resource) -> Resource:
    """The endpoints of `new` that are in `old` already."""
    known = {_where(one) for one in _endpoints(old)}
    listed = [one for one in _endpoints(new) if _where(one) in known]
    body: Json = {"cluster_name": new.name, "endpoints": [{"lb_endpoints": listed}] if listed else []}
    return Resource(Kind.ENDPOINT, new.name, body)


def _endpoints(assignment: Resource) -> list[Json]:
    body: Json = json_format.MessageToDict(assignment.message(), preserving_proto_field_name=True)
    return [one for group in body.get("endpoints", []) for one in group["lb_endpoints"]]


def _where(endpoint: Json) -> str:
    address: Json = endpoint["endpoint"]["address"]["envoy_internal_address"]
    return str(address["endpoint_id"])
