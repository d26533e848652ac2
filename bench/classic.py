"""The usual mesh, to compare with: two sidecars that both parse HTTP, in mutual TLS between them.

In three forms. `BARE` carries requests and does nothing else, not even count. `EQUAL` does what Tsujiban
does: the server's has ten policies (in our keyed form) and sends a record of each request to an agent.
`ISTIO` is what Istio's sidecars have by default, and the access log that most turn on: its filters, retries,
client certificate header, a line of text for each request at both ends, and its four metrics. The filter
that keeps these, and the one that exchanges metadata, are not in this Envoy. For the first stands Envoy's
logger of statistics, with three labels where Istio has about twenty; for the second, nothing.
Source: Istio's documentation (standard metrics; default format of the access log), `istioctl proxy-config`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from tests.support.proxybed import Envoy, Pod, tier

from tsujiban.policy.program import EndpointProgram, Mesh, NodeState, Peer
from tsujiban.proxy import filters, matchers, names, rbac
from tsujiban.proxy.bootstrap import bootstrap
from tsujiban.proxy.matchers import Json, typed
from tsujiban.proxy.reach import ingress
from tsujiban.proxy.site import SIDECAR

if TYPE_CHECKING:
    from bench.dataplane_l7 import BenchBed

Policies = Callable[[Pod], Mapping[str, Any]]

INWARD, OUTWARD = 9090, 9091  # ports of the two sidecars
_FILTERS = "envoy.extensions.filters.http."
_STATISTICS = "envoy.extensions.access_loggers.stats.v3.Config"
_LOG = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% '
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% '
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)


class Form(Enum):
    """See above."""

    BARE = auto()
    EQUAL = auto()
    ISTIO = auto()


def pair(made: BenchBed, form: Form, port: int, policies: Policies) -> tuple[Pod, list[Envoy]]:
    """A client, which asks its own address at `OUTWARD`, and both sidecars, running. `port` is the server's;
    `policies` are asked for those about the client."""
    name = form.name.lower()
    server, client = made.pod(f"{name}-server", mesh=Mesh.NONE), made.pod(f"{name}-client", mesh=Mesh.NONE)
    made.serve(server)
    inward = _config(made, server, INWARD, port, inward=True)
    outward = _config(made, client, OUTWARD, INWARD, inward=False, server=server)
    if form is not Form.BARE:
        _manager(inward)["http_filters"].insert(0, _judge(server, client, policies(client)))
        _manager(inward)["use_remote_address"] = True
    if form is Form.EQUAL:
        _record(made, server, inward)
    if form is Form.ISTIO:
        _as_istio(outward, inward=False)
        _as_istio(inward, inward=True)
    return client, [_start(made, server, inward), _start(made, client, outward)]


def _manager(config: Json) -> Json:
    chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
    manager: Json = chain["filters"][0]["typed_config"]
    return manager


def _judge(server: Pod, client: Pod, policies: Mapping[str, Any]) -> Json:
    """The filter that judges requests, as our proxies have it."""
    program = EndpointProgram(
        id="x",
        node="node-1",
        addresses=(server.address,),
        identity=server.identity,
        ingress=(tier(*policies["policies"]),),
    )
    known = Peer(address=client.address, endpoint=client.id, identity=client.identity, mesh=Mesh.SIDECAR)
    state = NodeState(endpoints={"x": program})
    for name, entries in policies.items():
        getattr(state, name).update(entries)
    state.peers[client.address] = known
    tree = rbac.by_identity(matchers.URI_SAN, ingress(state, program), rbac.request, None)
    config = typed(f"{_FILTERS}rbac.v3.RBAC", matcher=tree["matcher"])
    return {"name": names.RBAC_HTTP, "typed_config": config}


def _record(made: BenchBed, pod: Pod, config: Json) -> None:
    """Have each request recorded to an agent."""
    _manager(config)["access_log"] = filters.access_log(SIDECAR, "http", http=True)
    path = _directory(made, pod) / "proxy.sock"
    config["static_resources"]["clusters"] += bootstrap("x", path)["static_resources"]["clusters"]


def _as_istio(config: Json, *, inward: bool) -> None:
    manager = _manager(config)
    added = [
        {
            "name": "grpc_stats",
            "typed_config": typed(f"{_FILTERS}grpc_stats.v3.FilterConfig", emit_filter_state=True),
        },
        {"name": "fault", "typed_config": typed(f"{_FILTERS}fault.v3.HTTPFault")},
        {"name": "cors", "typed_config": typed(f"{_FILTERS}cors.v3.Cors")},
        {"name": "router", "typed_config": typed(f"{_FILTERS}router.v3.Router")},
    ]
    manager["http_filters"][-1:] = added
    manager["normalize_path"] = True
    manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    manager["access_log"] = [_text_log(), _metrics("destination" if inward else "source")]
    route = manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    if inward:
        manager["forward_client_cert_details"] = "APPEND_FORWARD"
        manager["set_current_client_cert_details"] = {"subject": True, "dns": True, "uri": True}
    else:
        retried = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
        route["retry_policy"] = {"retry_on": retried, "num_retries": 2}
    route["timeout"] = "0s"
    config["stats_config"] = {"stats_matcher": {"inclusion_list": {"patterns": [{"prefix": "istio"}]}}}


def _text_log() -> Json:
    kind = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    log_format = {"text_format_source": {"inline_string": _LOG}}
    return {"name": "text", "typed_config": typed(kind, path="/dev/null", log_format=log_format)}


def _metrics(reporter: str) -> Json:
    """Requests, their duration, and the bytes of both ways."""
    tags = [
        {"name": "reporter", "value_format": reporter},
        {"name": "response_code", "value_format": "%RESPONSE_CODE%"},
        {"name": "response_flags", "value_format": "%RESPONSE_FLAGS%"},
    ]

    def stat(name: str) -> Json:
        return {"name": name, "tags": tags}

    histograms = [
        {"stat": stat("request_duration_milliseconds"), "unit": "Milliseconds", "value_format": "%DURATION%"},
        {"stat": stat("request_bytes"), "unit": "Bytes", "value_format": "%BYTES_RECEIVED%"},
        {"stat": stat("response_bytes"), "unit": "Bytes", "value_format": "%BYTES_SENT%"},
    ]
    counters = [{"stat": stat("requests_total"), "value_fixed": 1}]
    config = typed(_STATISTICS, stat_prefix="istio", histograms=histograms, counters=counters)
    return {"name": "metrics", "typed_config": config}


def _directory(made: BenchBed, pod: Pod) -> Path:
    return made.directory / f"static-{pod.name}"


def _config(
    made: BenchBed, pod: Pod, port: int, target: int, *, inward: bool, server: Pod | None = None
) -> Json:
    """A sidecar that listens on `port`, and leads to `target` of the server, or of its own pod."""
    svid = made.issue(pod.identity)
    certificate = {
        "certificate_chain": {"inline_string": svid.chain_pem},
        "private_key": {"inline_string": svid.key_pem},
    }
    common: Json = {
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "tls_certificates": [certificate],
        "validation_context": {"trusted_ca": {"inline_string": svid.bundle_pem}},
    }
    kind = "DownstreamTlsContext" if inward else "UpstreamTlsContext"
    more = {"require_client_certificate": True} if inward else {}
    context = typed(f"envoy.extensions.transport_sockets.tls.v3.{kind}", common_tls_context=common, **more)
    socket = {"name": "tls", "typed_config": context}
    manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="x",
        route_config={
            "virtual_hosts": [
                {
                    "name": "x",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "next"}}],
                }
            ]
        },
        http_filters=[filters.ROUTER],
    )
    chain: Json = {"filters": [{"name": "http", "typed_config": manager}]}
    endpoint = {"endpoint": {"address": filters.address((server or pod).address, target)}}
    cluster: Json = {
        "name": "next",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "next", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    (chain if inward else cluster)["transport_socket"] = socket
    listener = {"name": "in", "address": filters.address("0.0.0.0", port), "filter_chains": [chain]}  # noqa: S104
    return {
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
        "stats_config": {"stats_matcher": {"reject_all": True}},
    }


def _start(made: BenchBed, pod: Pod, config: Json) -> Envoy:
    command = ["ip", "netns", "exec", pod.namespace, "setpriv"]
    envoy = Envoy(pod.id, _directory(made, pod), pod.uid, command)
    made.listen(pod, envoy)
    with mock.patch("tests.support.proxybed.bootstrap", return_value=config):
        envoy.start()
    made.static.append(envoy)
    return envoy
