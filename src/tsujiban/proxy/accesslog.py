"""Envoy's access log records as events: who, to what, with which verdict, by which rule.

The rule id that Envoy was given as the name of a verdict comes back here, so that a flow record
cites the same rule as the kernel's log and `explain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import grpclib.const
import msgspec
from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf import any_pb2, duration_pb2, timestamp_pb2, wrappers_pb2

from tsujiban.identity.verify import VerificationError, leaf_identity, parse_chain
from tsujiban.proxy import names
from tsujiban.proxy.decisions import Admission, Class, parse_decision_name

_METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
_VERSIONS = {1: "TLSv1", 2: "TLSv1.1", 3: "TLSv1.2", 4: "TLSv1.3"}
_EXTERNAL = "ext_authz"  # how Envoy begins the reason of such a refusal
_REVOKED = "certificate revoked"  # how BoringSSL calls one that is on a list
_SYSTEM, _OWN = "system library", "SSL routines"  # whose words an error of TLS is in
_SHORTEST = 100  # characters of a certificate
_TLS_FAILURE = "TLS_error"  # how Envoy begins the reason of a failed handshake
_UNKNOWN_ISSUER, _MISSING = "Jwt issuer is not configured", "Jwt is missing"  # Envoy's words
TOKEN_REFUSED = "jwt_authn_access_denied"  # noqa: S105 - how Envoy begins what it says of a 401
_CONNECTED = accesslog_pb2.AccessLogType.TcpUpstreamConnected
_PERIODIC = accesslog_pb2.AccessLogType.TcpPeriodic


class ProxyEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One record of one proxy.

    `log` tells what it is about: `http` a request, `tcp` an uninspected connection (twice: when
    it is connected, `final` false, and when it ends), `tunnel` a CONNECT that was refused,
    `connection` a connection refused before that (TLS, plaintext), `egress` an outgoing
    connection of the endpoint's own; `tunnel-wanted` says of one of them that it has begun, and in `detail`
    by which cluster, `tunnel-open` that it is open, and to whom, `request-open` of a request that it goes on.
    """

    time_ns: int
    endpoint: str
    log: str
    direction: str  # ingress or egress
    verdict: str  # allow or deny
    rules: tuple[str, ...]  # the deciding rule ids, one for each layer that had a say
    source: str
    source_port: int
    destination: str
    destination_port: int
    peer: str = ""  # authenticated SPIFFE ID
    serial: str = ""  # of the certificate that proved it, hex, where that is known
    tls: str = ""  # TLS version of the tunnel
    method: str = ""
    path: str = ""
    host: str = ""
    status: int = 0
    request_id: str = ""
    detail: str = ""  # why Envoy ended it, when that is worth knowing
    bytes_in: int = 0
    bytes_out: int = 0
    duration_ns: int = 0
    final: bool = True
    periodic: bool = False  # says again that a connection is open
    audits: tuple[str, ...] = ()  # the AUDIT rules that matched
    staged: str = ""  # what staged policies would have said otherwise: `allow` or `deny`, and the rules
    near: tuple[str, int] = (
        "",
        0,
    )  # of a `tcp` connection or a request: the proxy's socket to the application
    far: tuple[str, int] = ("", 0)  # the application's end of it
    shared: bool = False  # other requests may be on that socket, too
    expires: float = 0.0  # UNIX seconds: of the token that a request was judged by; 0: none, or never

    @property
    def rule(self) -> str:
        """The first deciding rule id; "" when none was reached."""
        return self.rules[0] if self.rules else ""


def decode(endpoint: str, log: str, message: als_pb2.StreamAccessLogsMessage) -> Iterator[ProxyEvent]:
    """Events of one message of the stream."""
    for http in message.http_logs.log_entry:
        event = _http(endpoint, log, http)
        if log != "tunnel" or event.verdict == "deny":  # what passes inside has its own records
            yield event
    for tcp in message.tcp_logs.log_entry:
        connection = _tcp(endpoint, log, tcp)
        if connection is not None:
            yield connection


def _http(endpoint: str, log: str, entry: accesslog_pb2.HTTPAccessLogEntry) -> ProxyEvent:
    common = entry.common_properties
    decision = _verdict(common, names.RBAC_FILTER, "enforced_effective_policy_id")
    allowed = decision is not None and decision.kind is not Class.DENY
    request, response = entry.request, entry.response
    details = response.response_code_details
    rules: tuple[str, ...] = ()
    if details.startswith(TOKEN_REFUSED):
        rules, decision = _refused_token(common), None
    elif details.startswith(_EXTERNAL):  # somebody else has refused it, or did not answer
        decision = _verdict(common, names.RBAC_FILTER, names.CUSTOM_MARK)
    elif decision is None:  # never judged: not HTTP at all, or refused by the parser
        decision = _carried(common)
    method = accesslog_method(request.request_method)
    return ProxyEvent(
        **_ends(common),
        endpoint=endpoint,
        log=log,
        direction="ingress",
        verdict="allow" if allowed else "deny",
        rules=decision.rules if decision is not None else rules,
        audits=decision.audits if decision is not None else (),
        peer=_peer(common),
        tls=_tls(common),
        staged=_staged(_verdict(common, names.RBAC_FILTER, "shadow_effective_policy_id"), decision),
        method="CONNECT" if log == "tunnel" else method,
        path=request.original_path or request.path,
        host=request.authority,
        status=response.response_code.value,
        request_id=request.request_id,
        detail="" if details == "via_upstream" else details,
        bytes_in=request.request_body_bytes,
        bytes_out=response.response_body_bytes,
        final=log != names.REQUEST_LOG,
        serial=_serial(_state(common, names.SERIAL_STATE)),
        near=_end(common.upstream_local_address),
        far=_end(common.upstream_remote_address),
        shared=entry.protocol_version == accesslog_pb2.HTTPAccessLogEntry.HTTP2,
        expires=_expiry(common),
    )


def _expiry(common: accesslog_pb2.AccessLogCommon) -> float:
    """When the token is no good any more that Envoy has verified. It takes none whose `exp` is no number."""
    metadata = common.metadata.filter_metadata
    fields = metadata[names.JWT_FILTER].fields if names.JWT_FILTER in metadata else {}
    claims = fields[names.CLAIMS].struct_value.fields if names.CLAIMS in fields else {}
    return float(claims["exp"].number_value) if "exp" in claims else 0.0


@lru_cache
def accesslog_method(number: int) -> str:
    """Name of the HTTP method; "" for one that Envoy has no number for."""
    name: str = base_pb2.RequestMethod.Name(number)
    return "" if name == "METHOD_UNSPECIFIED" else name


def _open_tunnel(endpoint: str, common: accesslog_pb2.AccessLogCommon) -> ProxyEvent | None:
    certificate = common.custom_tags.get(names.CERTIFICATE_TAG, "")
    if len(certificate) < _SHORTEST:  # "-": Envoy has lost sight of the server
        return None
    serial, peer = shown(certificate)
    return ProxyEvent(
        **_ends(common),
        endpoint=endpoint,
        log=names.TUNNEL_LOG,
        direction="egress",
        verdict="allow",
        rules=(),
        peer=peer,
        serial=serial,
        final=False,
        near=_end(common.upstream_local_address),
        far=_end(common.upstream_remote_address),
    )


def _begun(endpoint: str, common: accesslog_pb2.AccessLogCommon) -> ProxyEvent:
    return ProxyEvent(
        **_ends(common),
        endpoint=endpoint,
        log=names.WANTED_LOG,
        direction="egress",
        verdict="allow",
        rules=(),
        final=False,
        detail=_state(common, names.TUNNEL_STATE),
    )


@lru_cache(1024)  # a server shows the same one for half an hour
def shown(certificate: str) -> tuple[str, str]:
    """Serial number (hex) and SPIFFE ID of a certificate in Envoy's words (PEM, percent-encoded); "" for what
    it does not prove to be."""
    try:
        leaf = parse_chain(unquote(certificate))[0]
    except VerificationError:
        return "", ""
    serial = f"{leaf.serial_number:x}"
    try:
        return serial, str(leaf_identity(leaf))
    except VerificationError:
        return serial, ""


def _serial(text: str) -> str:
    """As the list of revoked certificates has it: Envoy writes whole bytes."""
    return text.lower().lstrip("0")


def _tcp(endpoint: str, log: str, entry: accesslog_pb2.TCPAccessLogEntry) -> ProxyEvent | None:
    common = entry.common_properties
    if log == names.TUNNEL_LOG:
        return _open_tunnel(endpoint, common)
    if log == names.WANTED_LOG:
        return _begun(endpoint, common)
    if log == "egress" and common.response_flags.no_cluster_found:
        return None  # it has a log of its own
    log = "egress" if log == names.UNTOLD_LOG else log
    decision = _verdict(common, names.NETWORK_RBAC_FILTER, "shadow_effective_policy_id") or _carried(common)
    failure = common.downstream_transport_failure_reason
    upstream = common.upstream_transport_failure_reason
    if _cut(failure):
        failure = ""  # perhaps of a connection that had long been taken
    if not upstream.startswith(_TLS_FAILURE) or _cut(upstream):
        upstream = ""  # nobody answered: a fault, and no decision of anyone's
    if log == "egress" and _lost(common):
        decision = _NOT_TOLD
    if log == "connection":
        if decision is not None and decision.kind is Class.DENY:
            failure = ""  # the inspector's, which found no TLS
        elif decision is not None or not failure:
            return None  # an ordinary connection: what went over it has records of its own
    elif decision is None and not failure and not upstream:
        return None
    unproven = bool(failure or upstream)
    denied = unproven or decision is None or decision.kind is not Class.TCP
    rules = decision.rules if decision is not None else ()
    return ProxyEvent(
        **_ends(common),
        endpoint=endpoint,
        log=log,
        direction="egress" if log == "egress" else "ingress",
        verdict="deny" if denied else "allow",
        rules=(_unproven(failure or upstream),) if unproven else rules,
        audits=decision.audits if decision is not None else (),
        peer="" if unproven else _peer(common),
        serial=_serial(_state(common, names.SERIAL_STATE)),
        tls=_tls(common),
        staged=_staged(parse_decision_name(_state(common, names.STAGED_STATE)), decision),
        detail=_claiming(failure, common) or upstream or common.connection_termination_details,
        bytes_in=entry.connection_properties.received_bytes,
        bytes_out=entry.connection_properties.sent_bytes,
        final=common.access_log_type not in {_CONNECTED, _PERIODIC},
        periodic=common.access_log_type == _PERIODIC,
        near=_end(common.upstream_local_address),
        far=_end(common.upstream_remote_address),
    )


def _cut(failure: str) -> bool:
    """Whether TLS failed for no reason of its own: somebody has reset the connection."""
    return _SYSTEM in failure and _OWN not in failure


def _claiming(failure: str, common: accesslog_pb2.AccessLogCommon) -> str:
    """Why TLS failed, with the name in a certificate that was not taken: anybody can write any name there."""
    claimed = _peer(common) if failure else ""
    return f"{failure}; its certificate says {claimed}" if claimed else failure


def _unproven(failure: str) -> str:
    """The rule by which a peer was refused whose certificate TLS did not take."""
    return names.REVOKED_RULE if _REVOKED in failure else names.IDENTITY_RULE


_NOT_TOLD = Admission(kind=Class.DENY, rules=(names.UNLISTED_RULE,))


def _lost(common: accesslog_pb2.AccessLogCommon) -> bool:
    """Whether there was no way: nobody is there, the agent does not let the pod have a tunnel, or it did
    not answer."""
    flags, taken = common.response_flags, _state(common, names.TUNNEL_STATE)
    if taken.removeprefix(names.owner(taken)).startswith(names.SERVICE_CLUSTER):
        return bool(flags.no_cluster_found)  # one that has no endpoints is no decision of anyone's
    return bool(taken) and (flags.no_cluster_found or flags.no_healthy_upstream)


def _staged(would: Admission | None, decision: Admission | None) -> str:
    if would is None or decision is None or would.rules == decision.rules:
        return ""
    return " ".join(("deny" if would.kind is Class.DENY else "allow", *would.rules))


def _end(address: address_pb2.Address) -> tuple[str, int]:
    return address.socket_address.address, address.socket_address.port_value


def _nanoseconds(time: timestamp_pb2.Timestamp | duration_pb2.Duration) -> int:
    return time.seconds * 1_000_000_000 + time.nanos


def _ends(common: accesslog_pb2.AccessLogCommon) -> dict[str, Any]:
    source, local = common.downstream_remote_address, common.downstream_local_address
    return {
        "time_ns": _nanoseconds(common.start_time),
        "duration_ns": _nanoseconds(common.duration),
        "source": source.socket_address.address,
        "source_port": source.socket_address.port_value,
        "destination": local.socket_address.address,
        "destination_port": local.socket_address.port_value,
    }


def _verdict(common: accesslog_pb2.AccessLogCommon, namespace: str, key: str) -> Admission | None:
    metadata = common.metadata.filter_metadata
    if namespace not in metadata or key not in metadata[namespace].fields:
        return None
    return parse_decision_name(metadata[namespace].fields[key].string_value)


def _refused_token(common: accesslog_pb2.AccessLogCommon) -> tuple[str, ...]:
    """The rule of the RequestAuthentication that a token did not satisfy: the first that knows the
    issuer, or the first of all. () when there was none, of which Envoy says no more."""
    metadata = common.metadata.filter_metadata
    fields = metadata[names.JWT_FILTER].fields if names.JWT_FILTER in metadata else {}
    failed = sorted(name for name in fields if name.startswith(names.FAILED_TOKEN))
    if not failed:
        return ()
    why = {one: fields[one].struct_value["message"] for one in failed}
    known = [one for one in failed if why[one] not in {_UNKNOWN_ISSUER, _MISSING}]
    if not known and _UNKNOWN_ISSUER not in why.values():
        known = [one for one in failed if one.split(" ")[2] == "required"]
    return ((known or failed)[0].rpartition(" ")[2],)


def _carried(common: accesslog_pb2.AccessLogCommon) -> Admission | None:
    return parse_decision_name(_state(common, names.DECISION_STATE))


def _peer(common: accesslog_pb2.AccessLogCommon) -> str:
    carried = _state(common, names.PEER_STATE)
    if carried:
        return "" if carried == names.PLAINTEXT else carried
    sans = common.tls_properties.peer_certificate_properties.subject_alt_name
    return sans[0].uri if len(sans) == 1 else ""


def _tls(common: accesslog_pb2.AccessLogCommon) -> str:
    return _state(common, names.TLS_STATE) or _VERSIONS.get(common.tls_properties.tls_version, "")


def _state(common: accesslog_pb2.AccessLogCommon, key: str) -> str:
    if key not in common.filter_state_objects:
        return ""
    packed: any_pb2.Any = common.filter_state_objects[key]
    return _text(packed.type_url, packed.value)


@lru_cache(4096)  # a proxy's records are of few peers and decisions
def _text(type_url: str, value: bytes) -> str:
    packed = any_pb2.Any(type_url=type_url, value=value)
    for kind in (wrappers_pb2.StringValue(), wrappers_pb2.BytesValue()):
        if packed.Unpack(kind):
            text = kind.value
            return text.decode() if isinstance(text, bytes) else text
    return ""


# the endpoint that a log is of, the log's own name, and who takes its events
Sink = tuple[str, str, Callable[[ProxyEvent], None]]


class AccessLogHandler:
    """Receives the records of one Envoy. `sink` is asked by the name that the log has there."""

    def __init__(self, sink: Callable[[str], Sink]) -> None:
        self._sink = sink

    def __mapping__(self) -> dict[str, grpclib.const.Handler]:
        """Grpclib's table of methods."""
        return {
            _METHOD: grpclib.const.Handler(
                self._serve,
                grpclib.const.Cardinality.STREAM_UNARY,
                als_pb2.StreamAccessLogsMessage,
                als_pb2.StreamAccessLogsResponse,
            )
        }

    async def _serve(self, stream: Any) -> None:
        log = ""
        while (message := await stream.recv_message()) is not None:
            log = message.identifier.log_name or log
            endpoint, base, take = self._sink(log)
            for event in decode(endpoint, base, message):
                take(event)
        await stream.send_message(als_pb2.StreamAccessLogsResponse())
