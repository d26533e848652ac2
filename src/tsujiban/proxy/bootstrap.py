"""What a sidecar is started with: where its agent is, and as little else as possible.

No secret and no policy is in it: both come over the agent's Unix socket, and until they do the
proxy listens nowhere.
"""

from __future__ import annotations

import os
from pathlib import Path

from tsujiban.proxy import names
from tsujiban.proxy.matchers import Json, typed

# Envoy 1.40 ends a tunnel's stream with RST_STREAM(NO_ERROR) when the server's side has closed first,
# takes that for a reset, and a reset of an internal listener's connection discards what the other
# end has not read yet: the last answer of a server that closes (HTTP/1.0) would be lost.
_RUNTIME: Json = {"envoy.reloadable_features.enable_send_rst_on_user_space_socket": False}
# the agent as a gRPC service of Envoy's
AGENT: Json = {
    "envoy_grpc": {
        "cluster_name": names.AGENT_CLUSTER,
        "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
    }
}
_KEEPALIVE = {"connection_keepalive": {"interval": "10s", "timeout": "10s"}}


def bootstrap(node_id: str, socket_path: Path, admin_path: Path | None = None, *, heap: int = 0) -> Json:
    """Bootstrap of an Envoy, in JSON.

    `node_id` names it to the agent (the endpoint's id). `socket_path` is the agent's socket for
    this pod. `admin_path`, if any, is a Unix socket in a directory that only the proxy's uid can
    enter; without it there is no admin interface. `heap`: bytes that its memory is kept below by ending the
    tunnels that hold most of it; 0: it takes what it needs.
    """
    http2 = typed(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config={"http2_protocol_options": _KEEPALIVE},
    )
    agent: Json = {
        "name": names.AGENT_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {
            "cluster_name": names.AGENT_CLUSTER,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(socket_path)}}}}]}
            ],
        },
    }
    config: Json = {
        "node": {"id": node_id, "cluster": "tsujiban"},
        "static_resources": {"clusters": [agent]},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [AGENT],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
            "lds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
        },
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _RUNTIME}]},
        "stats_config": {"stats_matcher": {"reject_all": True}},
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": typed("envoy.extensions.bootstrap.internal_listener.v3.InternalListener"),
            }
        ],
    }
    if heap:
        config["overload_manager"] = _overload(heap)
    if admin_path is not None:
        config["admin"] = {"address": {"pipe": {"path": str(admin_path), "mode": 0o600}}}
    return config


def _overload(heap: int) -> Json:
    """When the heap comes near so many bytes, the tunnels that hold most of it are ended, and no others."""
    heap_monitor = "envoy.resource_monitors.fixed_heap"

    def trigger(**when: Json) -> Json:
        return {"triggers": [{"name": heap_monitor, **when}]}

    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": heap_monitor,
                "typed_config": typed(
                    "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    max_heap_size_bytes=heap,
                ),
            }
        ],
        "actions": [
            {"name": "envoy.overload_actions.shrink_heap", **trigger(threshold={"value": 0.6})},
            {
                "name": "envoy.overload_actions.reset_high_memory_stream",
                **trigger(scaled={"scaling_threshold": 0.6, "saturation_threshold": 0.9}),
            },
        ],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
    }


# seconds that an Envoy whose sockets another one has taken over keeps what is open
PARENT_SECONDS = 600

_MOST_WORKERS = 8
_LEAST_HEAP = 256 << 20


def workers() -> int:
    """Threads that carry connections in an Envoy that all pods of a node share: one for each core, up to a
    number that is enough for a fast network."""
    return min(len(os.sched_getaffinity(0)), _MOST_WORKERS)


def shared_heap() -> int:
    """Bytes for an Envoy that all pods of a node share: a quarter of the machine's memory."""
    return max(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4, _LEAST_HEAP)


def argv(
    binary: Path,
    config: Path,
    *,
    concurrency: int = 1,
    log_level: str = "warning",
    handover: Path | None = None,
) -> list[str]:
    """Command line of an Envoy. A changed listener lets go of its connections within 2 s. With
    `handover`, how the names of sockets begin over which the two speak, another one may take
    over (`agent.proxy_init`): whoever reaches these sockets commands it."""
    handing_over = ["--parent-shutdown-time-s", str(PARENT_SECONDS), "--skip-hot-restart-parent-stats"]
    handing_over += ["--socket-path", str(handover), "--socket-mode", "600"]
    return [
        str(binary),
        "--config-path",
        str(config),
        "--concurrency",
        str(concurrency),
        "--drain-time-s",
        "2",
        "--drain-strategy",
        "immediate",
        *(["--disable-hot-restart"] if handover is None else handing_over),
        "--log-level",
        log_level,
        # It warns of each use of a matcher whose message is not declared stable.
        "--component-log-level",
        "misc:error",
    ]
