"""The inbound listeners: from a stranger's TCP connection to the application.

15006 takes tunnels (and plaintext where PeerAuthentication accepts it). The CONNECT is judged on
the authenticated identity, the source address and the real original port, before any byte passes.
What comes out of a tunnel enters the inner listener: as plain bytes if nothing on it could be
denied any more, else as HTTP and nothing but HTTP, each request judged again.
"""

from __future__ import annotations

from tsujiban.policy.program import Authentication, EndpointProgram, MtlsMode
from tsujiban.proxy import external, filters, headers, matchers, names, owners, rbac, tls, tokens
from tsujiban.proxy.clusters import PRESERVE_CASE
from tsujiban.proxy.decisions import Admission, Class, decision_name
from tsujiban.proxy.encode import sealed
from tsujiban.proxy.matchers import Json, typed
from tsujiban.proxy.parting import Parting
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import Site
from tsujiban.proxy.table import Table

# Who says nothing for so long is the client of a server that speaks first: in the clear, or on a port that
# the workload calls HTTP. Proxies speak at once, unless their machine stands still: that is waited for as
# everywhere (`clusters.CONNECT_TIMEOUT`). An attacker gains nothing by it: he may be silent in TLS, too.
SILENCE_TIMEOUT = "5s"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_JWT = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_HTTP_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"
_TUNNEL_CHAIN = "tunnel"
_GOING_ON = ("DownstreamTunnelSuccessfullyEstablished", "DownstreamPeriodic")
_HTTP_NAMES = ("http", "grpc", "h2c", "http2")


def declared_http(endpoint: EndpointProgram) -> list[int]:
    """Ports that the workload itself calls HTTP (`http`, `http-web`, `grpc`, ...)."""
    return sorted(
        {
            port
            for name, protocol, port in endpoint.named_ports
            if protocol == 6 and name.partition("-")[0] in _HTTP_NAMES
        }
    )


def listener(site: Site, endpoint: EndpointProgram, table: Table) -> Resource:
    """The listener that the pod's redirect sends incoming connections to."""
    authentication = endpoint.authentication
    chains: dict[str, Json] = {_TUNNEL_CHAIN: _tunnel_chain(site)}
    tunnel = matchers.chain_action(_TUNNEL_CHAIN)
    plaintext = _plaintext(site, authentication, table, chains)
    tunnels = matchers.exact(matchers.APPLICATION_PROTOCOL, {f"'{names.ALPN}'": tunnel}, plaintext)
    choice = matchers.exact(matchers.TRANSPORT_PROTOCOL, {"tls": tunnels}, plaintext)
    body: Json = {
        "name": site.name(names.INBOUND),
        "traffic_direction": "INBOUND",
        **site.listens(endpoint, names.INBOUND_PORT),
        "listener_filters": [filters.ORIGINAL_DST, filters.TLS_INSPECTOR],
        # The same in every mode: a listener of which more than chains changes ends its connections.
        "listener_filters_timeout": SILENCE_TIMEOUT,
        "continue_on_listener_filters_timeout": True,
        "filter_chain_matcher": choice["matcher"],
        "filter_chains": [chains[name] for name in sorted(chains)],
        "access_log": filters.access_log(site, "connection"),
    }
    return Resource(Kind.LISTENER, site.name(names.INBOUND), body)


def plaintext_rows(authentication: Authentication, table: Table) -> object:
    """What of a table decides about plaintext in the listener itself; None where no port takes any."""
    if _strict(authentication):
        return None
    return table.rows.get("", ()), table.rest


def _strict(authentication: Authentication) -> bool:
    """Whether no port takes plaintext."""
    return {authentication.mode, *authentication.ports.values()} == {MtlsMode.STRICT}


def _refused(authentication: Authentication) -> Json:
    """On match: plaintext, where no port takes any. A connection may be older than that."""

    def refuse(rule: str) -> Json:
        return matchers.rbac_action(decision_name(Class.DENY, (rule,)), allow=False)

    ports = {str(port): refuse(rule) for port, rule in sorted(authentication.port_ids.items())}
    return matchers.exact(matchers.DESTINATION_PORT, ports, refuse(authentication.id))


def _plaintext(site: Site, authentication: Authentication, table: Table, chains: dict[str, Json]) -> Json:
    def refuse(rule: str) -> Json:
        decision = decision_name(Class.DENY, (rule,))
        chains.setdefault(decision, filters.refusal(decision, decision))
        return matchers.chain_action(decision)

    def admitted(seen: Admission) -> Json:
        if seen.kind is Class.DENY:
            chains.setdefault(seen.name, filters.refusal(seen.name, seen.name))
        else:
            chains.setdefault(seen.name, _plaintext_chain(site, seen.name))
        return matchers.chain_action(seen.name)

    def mode(one: MtlsMode, rule: str) -> Json:
        if one is MtlsMode.STRICT:
            return refuse(rule)
        return rbac.by_network(matchers.SOURCE_IP, rbac.plain(table), rbac.admission(admitted))

    ports = {
        str(port): mode(one, authentication.port_ids.get(port, authentication.id))
        for port, one in sorted(authentication.ports.items())
    }
    return matchers.exact(matchers.DESTINATION_PORT, ports, mode(authentication.mode, authentication.id))


def _tunnel_chain(site: Site) -> Json:
    states = [
        *filters.addresses_state(),
        filters.state_value(names.PEER_STATE, "%DOWNSTREAM_PEER_URI_SAN%"),
        filters.state_value(names.TLS_STATE, "%DOWNSTREAM_TLS_VERSION%"),
        filters.state_value(
            names.DECISION_STATE,
            "%DYNAMIC_METADATA(envoy.filters.http.rbac:enforced_effective_policy_id)%",
        ),
        filters.state_value(
            names.STAGED_STATE,
            "%DYNAMIC_METADATA(envoy.filters.http.rbac:shadow_effective_policy_id)%",
        ),
    ]
    connect = {"upgrade_type": "CONNECT", "connect_config": {}}
    route = {
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": site.name(names.INBOUND_INNER),
            "timeout": "0s",
            "idle_timeout": "0s",
            "upgrade_configs": [connect],
        },
    }
    config = typed(
        _HCM,
        stat_prefix="tunnel",
        codec_type="HTTP2",
        http2_protocol_options={"allow_connect": True},
        upgrade_configs=[{"upgrade_type": "CONNECT"}],
        use_remote_address=True,
        skip_xff_append=True,
        stream_idle_timeout="0s",
        request_headers_timeout="10s",
        route_config={
            "name": "tunnel",
            "virtual_hosts": [{"name": "tunnel", "domains": ["*"], "routes": [route]}],
        },
        http_filters=[
            filters.http_state([filters.state_value(names.SERIAL_STATE, "%DOWNSTREAM_PEER_SERIAL%")]),
            filters.discovered(site, names.OWNERS, owners.MESSAGE),
            filters.discovered(site, names.RBAC_CONNECT, _HTTP_RBAC),
            filters.http_state(states),
            filters.ROUTER,
        ],
        access_log=filters.access_log(site, "tunnel", http=True),
    )
    return {
        "name": _TUNNEL_CHAIN,
        "filters": [{"name": "http", "typed_config": config}],
        "transport_socket": tls.server(site),
        "transport_socket_connect_timeout": "10s",
    }


def _plaintext_chain(site: Site, decision: str) -> Json:
    states = [
        *filters.addresses_state(),
        filters.state_value(names.PEER_STATE, names.PLAINTEXT),
        filters.state_value(names.DECISION_STATE, decision),
    ]
    return {
        "name": decision,
        "filters": [
            filters.network_state(states),
            filters.tcp_proxy(site.name(names.INBOUND_INNER), "plaintext"),
        ],
    }


def inner_listener(site: Site, endpoint: EndpointProgram) -> Resource:
    """The internal listener behind tunnels and accepted plaintext."""
    http_ports = declared_http(endpoint)
    http = matchers.chain_action("http")
    tcp = matchers.chain_action("tcp")
    listener_filters = [filters.ORIGINAL_DST]
    if http_ports:
        listener_filters.append(_http_inspector(http_ports))
        sniffed = {f"'{one}'": http for one in ("http/1.0", "http/1.1", "h2c")}
        tcp = matchers.exact(matchers.APPLICATION_PROTOCOL, sniffed, tcp)
    decided = matchers.filter_state(names.DECISION_STATE)
    steps = [
        (matchers.value(decided, prefix=decision_name(Class.INSPECT, ())), http),
        (matchers.value(decided, prefix=decision_name(Class.TCP, ())), tcp),
    ]
    app = filters.tcp_proxy(
        names.APP,
        "app",
        access_log=filters.access_log(site, "tcp"),
        access_log_options={
            "flush_access_log_on_connected": True,
            "access_log_flush_interval": filters.CONNECTIONS_REPEATED,
        },
    )
    body: Json = {
        "name": site.name(names.INBOUND_INNER),
        "traffic_direction": "INBOUND",
        "internal_listener": {},
        "listener_filters": listener_filters,
        "listener_filters_timeout": SILENCE_TIMEOUT,
        "continue_on_listener_filters_timeout": True,
        "filter_chain_matcher": matchers.ordered(steps, None)["matcher"],
        "filter_chains": [
            {"name": "http", "filters": [*site.leaves(), _http_filter(site)]},
            {"name": "tcp", "filters": [*site.leaves(), app]},
        ],
    }
    return Resource(Kind.LISTENER, site.name(names.INBOUND_INNER), body)


def _http_inspector(ports: list[int]) -> Json:
    ranges: list[Json] = [{"destination_port_range": {"start": port, "end": port + 1}} for port in ports]
    named = ranges[0] if len(ranges) == 1 else {"or_match": {"rules": ranges}}
    return {
        "name": "http_inspector",
        "typed_config": typed("envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"),
        "filter_disabled": {"not_match": named},
    }


def _http_filter(site: Site) -> Json:
    route = {
        "match": {"prefix": "/"},
        "route": {
            "cluster": names.APP,
            "timeout": "0s",
            "idle_timeout": "0s",
            "retry_policy": {"retry_on": "reset-before-request", "num_retries": 1},
        },
    }
    config = typed(
        _HCM,
        stat_prefix="app",
        codec_type="AUTO",
        http_protocol_options={"accept_http_10": True, **PRESERVE_CASE},
        upgrade_configs=[{"upgrade_type": "websocket"}],
        use_remote_address=True,
        skip_xff_append=True,
        server_header_transformation="PASS_THROUGH",
        stream_idle_timeout="0s",
        request_headers_timeout="60s",
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        local_reply_config={"mappers": [_ANSWERED, _denial(401), _denial(403)]},
        route_config={
            "name": "app",
            "virtual_hosts": [
                {
                    "name": "app",
                    "domains": ["*"],
                    "routes": [route],
                    "request_headers_to_remove": ["x-envoy-external-address"],
                }
            ],
        },
        http_filters=[
            filters.discovered(site, names.HEADERS, headers.MESSAGE),
            filters.discovered(site, names.JWT, _JWT),
            filters.discovered(site, names.RBAC_CUSTOM, _HTTP_RBAC),
            filters.discovered(site, names.EXT_AUTHZ, *external.MESSAGES),
            filters.discovered(site, names.RBAC_HTTP, _HTTP_RBAC),
            filters.ROUTER,
        ],
        access_log=[
            *filters.access_log(site, "http", http=True, only=("DownstreamEnd",)),
            *filters.access_log(site, names.REQUEST_LOG, http=True, only=_GOING_ON),
        ],
        access_log_options={
            "flush_log_on_tunnel_successfully_established": True,  # of an upgrade
            "access_log_flush_interval": filters.REQUESTS_REPEATED,
        },
    )
    return {"name": "http", "typed_config": config}


# What somebody else has answered who was asked for a CUSTOM policy goes to the client as it is.
_ANSWERED: Json = {
    "filter": {"response_flag_filter": {"flags": ["UAEX"]}},
    "body_format_override": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}},
}


def _denial(status: int) -> Json:
    """A refusal tells the client a number to ask about, and no more."""
    equal = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"tsujiban.denied.{status}"}}
    body = "request denied by policy, id %REQ(X-REQUEST-ID)%\n"
    return {
        "filter": {"status_code_filter": {"comparison": equal}},
        "body_format_override": {"text_format_source": {"inline_string": body}},
    }


def authorization(
    site: Site,
    endpoint: EndpointProgram,
    table: Table,
    staged: Table | None = None,
    named: frozenset[str] = frozenset(),
    revoked: frozenset[str] = frozenset(),
    parting: Parting = Parting.NONE,
) -> list[Resource]:
    """The configurations of the two RBAC filters and of those that read addresses, headers and tokens for
    them, which change without touching a listener. `named` are the headers that rules ask for,
    `revoked` the serial numbers of certificates that are not taken."""

    def connects() -> Json:
        return sealed(rbac.connect_rbac(table, staged, revoked))

    def requests() -> Json:
        return sealed(rbac.http_rbac(table, staged, revoked, strict))

    closed, of = parting is Parting.CLOSED, (staged, revoked)
    strict = _refused(endpoint.authentication) if _strict(endpoint.authentication) else None
    pairs = (
        (names.RBAC_CONNECT, rbac.ended_rbac() if closed else table.once("connect", of, connects)),
        (names.RBAC_HTTP, table.once("http", (*of, strict), requests)),
    )
    filled = ((site.name(base), config) for base, config in pairs)
    out = [Resource(Kind.EXTENSION, name, {"name": name, "typed_config": config}) for name, config in filled]
    asked = bool(table.crowds or (staged is not None and staged.crowds))
    return [
        owners.resource(site, endpoint.id, asked=asked),
        headers.resource(site, named, closing=parting is not Parting.NONE),
        *out,
        tokens.resource(site, endpoint.jwt),
        *tokens.key_clusters(site, endpoint.jwt),
    ]
