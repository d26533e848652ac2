from __future__ import annotations

from typing import Any

from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf import json_format, wrappers_pb2

from tsujiban.proxy import names
from tsujiban.proxy.accesslog import ProxyEvent, accesslog_method, decode

ENDS = {
    "downstream_remote_address": {"socket_address": {"address": "10.0.0.2", "port_value": 40000}},
    "downstream_local_address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}},
    "start_time": "2026-01-01T00:00:00Z",
    "duration": "0.5s",
}


def state(**values: str) -> dict[str, Any]:
    keys = {"peer": names.PEER_STATE, "decision": names.DECISION_STATE, "tls": names.TLS_STATE}
    keys["tunnel"] = names.TUNNEL_STATE
    kind = "type.googleapis.com/google.protobuf.StringValue"
    return {
        "filter_state_objects": {keys[key]: {"@type": kind, "value": value} for key, value in values.items()}
    }


def http(log: str, common: dict[str, Any], **entry: Any) -> list[ProxyEvent]:
    body = {"common_properties": {**ENDS, **common}, **entry}
    message = json_format.ParseDict({"http_logs": {"log_entry": [body]}}, als_pb2.StreamAccessLogsMessage())
    return list(decode("default/web", log, message))


def tcp(log: str, common: dict[str, Any], **entry: Any) -> list[ProxyEvent]:
    body = {"common_properties": {**ENDS, **common}, **entry}
    message = json_format.ParseDict({"tcp_logs": {"log_entry": [body]}}, als_pb2.StreamAccessLogsMessage())
    return list(decode("default/web", log, message))


def rbac(name: str) -> dict[str, Any]:
    fields = {"enforced_effective_policy_id": name}
    return {"metadata": {"filter_metadata": {"envoy.filters.http.rbac": fields}}}


def network_rbac(name: str) -> dict[str, Any]:
    fields = {"shadow_effective_policy_id": name}
    return {"metadata": {"filter_metadata": {"envoy.filters.network.rbac": fields}}}


def test_a_request_tells_who_asked_what_and_which_rules_said_what() -> None:
    carried = state(peer="spiffe://t/x", tls="TLSv1.3", decision="http:ignored")
    (event,) = http(
        "http",
        {**rbac("http:net/0 authz/1"), **carried},
        request={"request_method": "GET", "path": "/v1", "authority": "web", "request_id": "i"},
        response={"response_code": 200, "response_code_details": "via_upstream", "response_body_bytes": 5},
    )
    assert (event.verdict, event.rules, event.rule) == ("allow", ("net/0", "authz/1"), "net/0")
    assert (event.peer, event.tls, event.method, event.path) == ("spiffe://t/x", "TLSv1.3", "GET", "/v1")
    assert (event.source, event.source_port, event.destination, event.destination_port) == (
        "10.0.0.2",
        40000,
        "10.0.0.1",
        80,
    )
    assert (event.status, event.detail, event.bytes_out, event.duration_ns) == (200, "", 5, 500_000_000)
    assert event.direction == "ingress"


def test_a_refused_request_and_one_that_was_never_judged_are_denied() -> None:
    (refused,) = http("http", rbac("deny:r"), response={"response_code": 403})
    assert (refused.verdict, refused.rules) == ("deny", ("r",))
    (garbage,) = http("http", state(decision="http:_tier/default"), response={"response_code": 400})
    assert (garbage.verdict, garbage.rules) == ("deny", ("_tier/default",))


def test_plaintext_has_no_peer() -> None:
    (event,) = http("http", {**rbac("http:r"), **state(peer=names.PLAINTEXT)})
    assert event.peer == ""


def test_a_tunnel_is_reported_only_when_refused() -> None:
    assert http("tunnel", rbac("tcp:r")) == []
    tls = {
        "tls_properties": {
            "tls_version": "TLSv1_3",
            "peer_certificate_properties": {"subject_alt_name": [{"uri": "spiffe://t/x"}]},
        }
    }
    (event,) = http("tunnel", {**rbac("deny:r"), **tls})
    assert (event.method, event.peer, event.tls) == ("CONNECT", "spiffe://t/x", "TLSv1.3")


def test_two_names_in_a_certificate_are_none() -> None:
    names_ = [{"uri": "spiffe://t/x"}, {"uri": "spiffe://t/y"}]
    tls = {"tls_properties": {"peer_certificate_properties": {"subject_alt_name": names_}}}
    (event,) = http("tunnel", {**rbac("deny:r"), **tls})
    assert event.peer == ""


def test_an_uninspected_connection_is_reported_when_it_opens_and_when_it_ends() -> None:
    carried = state(peer="spiffe://t/x", decision="tcp:r")
    (opened,) = tcp("tcp", {**carried, "access_log_type": "TcpUpstreamConnected"})
    (again,) = tcp("tcp", {**carried, "access_log_type": "TcpPeriodic"})
    (ended,) = tcp(
        "tcp",
        {**carried, "access_log_type": "TcpConnectionEnd"},
        connection_properties={"received_bytes": 3, "sent_bytes": 4},
    )
    assert (opened.final, opened.periodic, opened.verdict, opened.rules) == (False, False, "allow", ("r",))
    assert (again.final, again.periodic) == (False, True)
    assert (ended.final, ended.bytes_in, ended.bytes_out) == (True, 3, 4)


def test_a_failed_handshake_is_a_refusal_and_an_ordinary_connection_is_no_event() -> None:
    (failed,) = tcp("connection", {"downstream_transport_failure_reason": "CERTIFICATE_VERIFY_FAILED"})
    assert (failed.verdict, failed.detail) == ("deny", "CERTIFICATE_VERIFY_FAILED")
    assert failed.rules == (names.IDENTITY_RULE,)
    assert tcp("connection", {}) == []
    noise = {"downstream_transport_failure_reason": "HTTP_REQUEST"}
    assert tcp("connection", {**noise, **state(decision="tcp:r")}) == []
    (refused,) = tcp("connection", {**noise, **state(decision="deny:_mesh/strict")})
    assert (refused.rules, refused.detail) == (("_mesh/strict",), "")


def test_who_could_not_prove_a_name_is_nobody_whatever_it_claims() -> None:
    claimed = {"peer_certificate_properties": {"subject_alt_name": [{"uri": "spiffe://t/admin"}]}}
    failure = {"downstream_transport_failure_reason": "CERTIFICATE_VERIFY_FAILED"}
    (failed,) = tcp("connection", {**failure, "tls_properties": claimed})
    assert failed.peer == ""
    assert failed.detail == "CERTIFICATE_VERIFY_FAILED; its certificate says spiffe://t/admin"


def test_an_outgoing_connection_is_the_endpoint_s_own() -> None:
    (event,) = tcp("egress", network_rbac("tcp:e"))
    assert (event.direction, event.verdict, event.rules) == ("egress", "allow", ("e",))
    reason = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end"
    (failed,) = tcp("egress", {**network_rbac("tcp:e"), "upstream_transport_failure_reason": reason})
    assert (failed.verdict, failed.rules, failed.detail) == ("deny", (names.IDENTITY_RULE,), reason)


def test_a_destination_that_does_not_answer_is_no_decision() -> None:
    silent = {"upstream_transport_failure_reason": "delayed connect error: 113"}
    assert tcp("egress", silent) == []
    (allowed,) = tcp("egress", {**network_rbac("tcp:e"), **silent})
    assert (allowed.verdict, allowed.rules) == ("allow", ("e",))


def test_of_an_outgoing_connection_that_begins_it_is_told_which_tunnel_it_takes() -> None:
    tunnel = names.mesh_cluster(names.ASKED, "10.0.0.1")
    (event,) = tcp(names.WANTED_LOG, state(tunnel=tunnel))
    assert (event.detail, event.final, event.source) == (tunnel, False, "10.0.0.2")


def test_a_service_without_endpoints_is_no_decision_and_one_that_nobody_told_of_is_a_refusal() -> None:
    service = state(tunnel=names.service_cluster(names.ASKED, "10.96.0.1:80"))
    tunnel = state(tunnel=names.mesh_cluster(names.ASKED, "10.0.0.1"))
    empty, unknown = (
        {"response_flags": {flag: True}} for flag in ("no_healthy_upstream", "no_cluster_found")
    )
    assert tcp("egress", {**service, **empty}) == []
    assert tcp("egress", {**service, **unknown}) == []  # it is told of in another log
    told = (*tcp(names.UNTOLD_LOG, {**service, **unknown}), *tcp("egress", {**tunnel, **empty}))
    for found in told:
        assert (found.log, found.verdict, found.rules) == ("egress", "deny", (names.UNLISTED_RULE,))
    assert len(told) == 2


def test_bytes_values_are_read_as_well() -> None:
    entry = accesslog_pb2.TCPAccessLogEntry()
    packed = entry.common_properties.filter_state_objects[names.DECISION_STATE]
    packed.Pack(wrappers_pb2.BytesValue(value=b"deny:r"))
    message = als_pb2.StreamAccessLogsMessage()
    message.tcp_logs.log_entry.append(entry)
    (event,) = decode("e", "egress", message)
    assert event.rules == ("r",)


def test_methods_have_names() -> None:
    assert accesslog_method(1) == "GET"
    assert accesslog_method(0) == ""


def test_a_request_tells_until_when_its_token_is_good() -> None:
    def told(claims: dict[str, Any]) -> float:
        fields = {names.JWT_FILTER: {names.CLAIMS: claims}}
        return http("http", {"metadata": {"filter_metadata": fields}})[0].expires

    assert told({"exp": 1234, "iss": "i"}) == 1234
    assert told({"iss": "i"}) == 0
    assert http("http", {})[0].expires == 0
