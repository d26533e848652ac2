"""Filters and access logs that inbound and outbound listeners share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tsujiban.proxy import names
from tsujiban.proxy.matchers import Json, typed

if TYPE_CHECKING:  # it renders by means of this module
    from tsujiban.proxy.site import Site

ORIGINAL_DST: Json = {
    "name": "original_dst",
    "typed_config": typed("envoy.extensions.filters.listener.original_dst.v3.OriginalDst"),
}
TLS_INSPECTOR: Json = {
    "name": "tls_inspector",
    "typed_config": typed("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"),
}
ROUTER: Json = {
    "name": "router",
    "typed_config": typed("envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True),
}

TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
NETWORK_STATE = "envoy.extensions.filters.network.set_filter_state.v3.Config"
LOCAL_ADDRESS_STATE = "envoy.filters.listener.original_dst.local_ip"
REMOTE_ADDRESS_STATE = "envoy.filters.listener.original_dst.remote_ip"


_UNTIL_ANSWERED: Json = {
    "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
    "num_retries": 1 << 30,
}


# How often Envoy tells again of what is open: of connections, so that a restarted agent learns of them, and
# of requests, most of which it tells of only so while they last.
CONNECTIONS_REPEATED, REQUESTS_REPEATED = "10s", "5s"


def access_log(
    site: Site,
    log: str,
    *,
    http: bool = False,
    tags: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    untold: bool = False,
) -> list[Json]:
    """Send records to the agent. `log` tells it where they come from; `tags` are formats that it is told
    besides, by name, `only` the types of records that it is sent, if not all; `untold`: of connections that
    were refused because the agent has not answered. What is told while it is away is lost, but the first of
    these wait for it."""
    common: Json = {
        "log_name": site.name(log),
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": names.AGENT_CLUSTER}},
        "buffer_flush_interval": "0.1s",
        # of requests, the filters that judge them leave word of staged policies and certificates themselves
        "filter_state_objects_to_log": [
            names.PEER_STATE,
            names.DECISION_STATE,
            names.TLS_STATE,
            names.TUNNEL_STATE,
            *(() if http else (names.STAGED_STATE,)),
            *(() if http and log != names.REQUEST_LOG else (names.SERIAL_STATE,)),
        ],
    }
    if untold:
        common["grpc_stream_retry_policy"] = _UNTIL_ANSWERED
    if tags:
        common["custom_tags"] = [{"tag": tag, "value": text} for tag, text in tags.items()]
    kind = "HttpGrpcAccessLogConfig" if http else "TcpGrpcAccessLogConfig"
    config = typed(f"envoy.extensions.access_loggers.grpc.v3.{kind}", common_config=common)
    made: Json = {"name": log, "typed_config": config}
    if only:
        made["filter"] = {"log_type_filter": {"types": list(only)}}
    if untold:
        made["filter"] = {"response_flag_filter": {"flags": ["NC"]}}  # no cluster
    return [made]


def state_value(key: str, text: str, *, share: bool = True, own: bool = False) -> Json:
    """One object of a set_filter_state filter.

    Hashable, so that connections with different values are never pooled together; keys that are
    their own factory (`own`) bring their own type.
    """
    value: Json = {
        "object_key": key,
        "format_string": {"text_format_source": {"inline_string": text}},
        "read_only": True,
    }
    if not own:
        value["factory_key"] = "envoy.hashable_string"
    if share:
        value["shared_with_upstream"] = "ONCE"
    return value


def addresses_state() -> list[Json]:
    """Carry a connection's original addresses into the internal listener behind it."""
    return [
        state_value(LOCAL_ADDRESS_STATE, "%DOWNSTREAM_LOCAL_ADDRESS%", own=True),
        state_value(REMOTE_ADDRESS_STATE, "%DOWNSTREAM_REMOTE_ADDRESS%", own=True),
    ]


def on_connection(values: list[Json]) -> Json:
    """Configuration of a network filter that sets filter state when a connection arrives."""
    return typed(NETWORK_STATE, on_new_connection=values)


def network_state(values: list[Json]) -> Json:
    """Set filter state when a connection arrives."""
    return {"name": "state", "typed_config": on_connection(values)}


def http_state(values: list[Json]) -> Json:
    """Set filter state when a request arrives."""
    config = typed("envoy.extensions.filters.http.set_filter_state.v3.Config", on_request_headers=values)
    return {"name": "state", "typed_config": config}


def discovered(site: Site, name: str, *messages: str) -> Json:
    """A filter whose configuration is a resource of its own (ECDS). Until it is there, nothing
    passes."""
    return {
        "name": site.name(name),
        "config_discovery": {
            "config_source": site.ads(),
            "type_urls": [f"type.googleapis.com/{message}" for message in messages],
        },
    }


def tcp_proxy(cluster: str, stat: str, **fields: Any) -> Json:
    """Carry bytes to a cluster."""
    common = {"stat_prefix": stat, "cluster": cluster, "idle_timeout": "0s"}
    return {"name": "tcp", "typed_config": typed(TCP_PROXY, **common, **fields)}


def refusal(name: str, decision: str) -> Json:
    """A filter chain that closes at once, and tells the access log which rule said so."""
    close = typed("envoy.extensions.filters.network.direct_response.v3.Config")
    return {
        "name": name,
        "filters": [
            network_state([state_value(names.DECISION_STATE, decision, share=False)]),
            {"name": "close", "typed_config": close},
        ],
    }


def address(host: str, port: int) -> Json:
    """A TCP socket address."""
    return {"socket_address": {"address": host, "port_value": port}}
