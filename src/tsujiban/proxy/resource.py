"""One named, versioned Envoy resource.

The version is a hash of the resource's canonical JSON, so that an agent that was restarted
renders the same versions again and a reconnecting Envoy is sent nothing.
"""

from __future__ import annotations

from enum import StrEnum

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2 as jwt_authn_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.http.set_filter_state.v3 import (
    set_filter_state_pb2 as http_set_filter_state_pb2,
)
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.direct_response.v3 import config_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac_pb2
from envoy.extensions.filters.network.set_filter_state.v3 import set_filter_state_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.http.header_formatters.preserve_case.v3 import preserve_case_pb2
from envoy.extensions.local_address_selectors.filter_state_override.v3 import (
    config_pb2 as local_address_pb2,
)
from envoy.extensions.matching.common_inputs.network.v3 import network_inputs_pb2
from envoy.extensions.matching.common_inputs.ssl.v3 import ssl_inputs_pb2
from envoy.extensions.matching.input_matchers.metadata.v3 import metadata_pb2
from envoy.extensions.transport_sockets.internal_upstream.v3 import internal_upstream_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import (
    secret_pb2,
    tls_pb2,
    tls_spiffe_validator_config_pb2,
)
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from google.protobuf import wrappers_pb2
from google.protobuf.message import Message
from xds.type.matcher.v3 import ip_pb2
from xds.type.v3 import typed_struct_pb2

from tsujiban.proxy.encode import Typed, digest, fill
from tsujiban.proxy.matchers import Json

# Imported for what they register: messages that appear inside `Any` fields.
EXTENSIONS = (
    als_pb2,
    config_pb2,
    ext_authz_pb2,
    http_connection_manager_pb2,
    http_inputs_pb2,
    http_inspector_pb2,
    http_protocol_options_pb2,
    http_rbac_pb2,
    http_set_filter_state_pb2,
    internal_upstream_pb2,
    ip_pb2,
    jwt_authn_pb2,
    lua_pb2,
    metadata_pb2,
    local_address_pb2,
    network_inputs_pb2,
    network_rbac_pb2,
    original_dst_pb2,
    preserve_case_pb2,
    raw_buffer_pb2,
    rbac_pb2,
    router_pb2,
    set_filter_state_pb2,
    ssl_inputs_pb2,
    tcp_proxy_pb2,
    tls_inspector_pb2,
    tls_pb2,
    tls_spiffe_validator_config_pb2,
    typed_struct_pb2,
    wrappers_pb2,
)


class Kind(StrEnum):
    """Types of the aggregated stream, in the order in which they are sent."""

    CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    ENDPOINT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105
    EXTENSION = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
    LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"


_MESSAGES: dict[Kind, type[Message]] = {
    Kind.CLUSTER: cluster_pb2.Cluster,
    Kind.ENDPOINT: endpoint_pb2.ClusterLoadAssignment,
    Kind.SECRET: secret_pb2.Secret,
    Kind.EXTENSION: extension_pb2.TypedExtensionConfig,
    Kind.LISTENER: listener_pb2.Listener,
}


class Resource:
    """A resource as it is sent. Encoding is put off until somebody asks for the bytes."""

    __slots__ = ("_body", "_encoded", "kind", "name", "on_demand", "turn", "version")

    def __init__(self, kind: Kind, name: str, body: Json, *, on_demand: bool = False, turn: int = 0) -> None:
        self.kind = kind
        self.name = name
        self.on_demand = on_demand  # Envoy asks for it when it is needed, and perhaps never
        self.turn = turn  # of an endpoint's filters that change together: below zero before the others
        config = body.get("typed_config")  # of a filter, that may be many endpoints'
        self.version = digest({**body, "typed_config": config.digest} if isinstance(config, Typed) else body)
        self._body: Json | None = body
        self._encoded = b""

    def message(self) -> Message:
        """The protobuf message."""
        message = _MESSAGES[self.kind]()
        if self._body is None:
            message.ParseFromString(self._encoded)
        else:
            fill(message, self._body)
        return message

    def encoded(self) -> bytes:
        """The message on the wire. The plain form is dropped."""
        if self._body is not None:
            self._encoded = self.message().SerializeToString()
            self._body = None
        return self._encoded

    def __repr__(self) -> str:
        return f"Resource({self.kind.name}, {self.name!r}, {self.version})"


Resources = dict[Kind, dict[str, Resource]]


def collect(resources: list[Resource]) -> Resources:
    """Resources by kind and name."""
    table: Resources = {kind: {} for kind in Kind}
    for one in resources:
        table[one.kind][one.name] = one
    return table
