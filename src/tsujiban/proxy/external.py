"""CUSTOM policies: somebody else is asked, by Envoy's `ext_authz`, before DENY and ALLOW are.

Which requests the provider is asked about is what the rules of its CUSTOM policies match: an RBAC
filter of which only the shadow is filled leaves that in the request's metadata, and `ext_authz` looks
there. An endpoint may have one provider; with several, or one that is not known, what the rules match is
denied, and so is what is not HTTP. The question goes the way of the pod's own connections: its egress policy
applies, and a provider in the mesh is asked over mutual TLS. Nobody answers: denied, unless the provider is
declared `failOpen`.
Source: Istio's API reference, AuthorizationPolicy (CUSTOM) and MeshConfig.ExtensionProvider; Envoy's
documentation of `ext_authz`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from envoy.type.v3 import http_status_pb2
from msgspec import structs

from tsujiban.policy.program import (
    Action,
    AuthzAction,
    AuthzOperation,
    AuthzProgram,
    EndpointProgram,
    ExternalAuthorizer,
    NodeState,
    PolicyProgram,
    Rule,
    ServicePort,
    StringMatch,
)
from tsujiban.proxy import clusters, names, rbac
from tsujiban.proxy.authorization import external_authorizer
from tsujiban.proxy.decisions import Class, decision_name
from tsujiban.proxy.matchers import Json, regex, typed
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import Site
from tsujiban.proxy.table import Table

_EXT_AUTHZ = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"
MESSAGES = (_EXT_AUTHZ, _RBAC)
_EVERYTHING = "_custom/all"
_PEER_HEADER = "x-forwarded-client-cert"


class Question(NamedTuple):
    """Who is asked for an endpoint's CUSTOM policies, where, and about what: `bare` has these policies alone,
    in `alone`, and denies what they match."""

    asked: ExternalAuthorizer
    port: ServicePort
    alone: NodeState
    bare: EndpointProgram


def question(state: NodeState, endpoint: EndpointProgram) -> Question | None:
    """None: nobody is asked."""
    found = [state.authorizations.get(name) for name in endpoint.authorization]
    programs = [one for one in found if one is not None and one.action is AuthzAction.CUSTOM]
    asked = external_authorizer(programs)
    if asked is None:
        return None
    rule = Rule(id=_EVERYTHING, action=Action.ALLOW)
    alone = NodeState(
        policies={_EVERYTHING: PolicyProgram(id=_EVERYTHING, ingress=(rule,))},
        authorizations={one.id: _denying(one) for one in programs},
    )
    names_of = tuple(one.id for one in programs)
    bare = structs.replace(endpoint, ingress=(), profiles=(_EVERYTHING,), jwt=(), authorization=names_of)
    return Question(asked, _port(state, asked), alone, bare)


def _denying(program: AuthzProgram) -> AuthzProgram:
    """The same policy as a DENY, of requests only: who sends none is not asked about."""
    rules = tuple(
        structs.replace(rule, operations=tuple(map(_of_requests, rule.operations or (AuthzOperation(),))))
        for rule in program.rules
    )
    return structs.replace(program, action=AuthzAction.DENY, rules=rules)


def _of_requests(operation: AuthzOperation) -> AuthzOperation:
    if operation.methods:
        return operation
    return structs.replace(operation, methods=(StringMatch(present=True),))


def resources(site: Site, question: Question | None, marks: Table | None) -> list[Resource]:
    """What marks requests, who is asked about them, and where that is. `marks` is the table of the
    question's endpoint."""
    if question is None or marks is None:
        nothing = typed(_RBAC)
        return [_extension(site, names.RBAC_CUSTOM, nothing), _extension(site, names.EXT_AUTHZ, nothing)]
    return [
        _extension(site, names.RBAC_CUSTOM, rbac.marking_rbac(marks, names.CUSTOM_PREFIX)),
        _extension(site, names.EXT_AUTHZ, _config(site, question.asked)),
        clusters.authorizer(site, question.asked, question.port),
    ]


def _extension(site: Site, base: str, config: Json) -> Resource:
    name = site.name(base)
    return Resource(Kind.EXTENSION, name, {"name": name, "typed_config": config})


def _port(state: NodeState, asked: ExternalAuthorizer) -> ServicePort:
    service = state.services.get(asked.service)
    ports = service.ports if service is not None else ()
    nobody = ServicePort(protocol=6, port=asked.port)
    return next((one for one in ports if one.protocol == 6 and one.port == asked.port), nobody)


def _config(site: Site, asked: ExternalAuthorizer) -> Json:
    marked = {
        "filter": names.RBAC_FILTER,
        "path": [{"key": names.CUSTOM_MARK}],
        "value": {"string_match": {"prefix": decision_name(Class.DENY, ())}},
    }
    config = typed(
        _EXT_AUTHZ,
        transport_api_version="V3",
        failure_mode_allow=asked.fail_open,
        status_on_error={"code": _status(asked.status_on_error)},
        clear_route_cache=asked.clear_route_cache,
        validate_mutations=True,
        filter_enabled_metadata=marked,
        metadata_context_namespaces=[names.JWT_FILTER],
    )
    if asked.body_bytes:
        config["with_request_body"] = {
            "max_request_bytes": asked.body_bytes,
            "allow_partial_message": asked.partial_body,
            "pack_as_bytes": asked.body_as_bytes and asked.grpc,
        }
    config.update(_grpc(site, asked) if asked.grpc else _http(site, asked))
    return config


def _status(number: int) -> str:
    """A status as Envoy's enumeration calls it; one that is not there is 403."""
    known = number in http_status_pb2.StatusCode.values()
    return str(http_status_pb2.StatusCode.Name(number if known else http_status_pb2.StatusCode.Forbidden))


def _timeout(asked: ExternalAuthorizer) -> str:
    return f"{asked.timeout_ms / 1000:.3f}s"


def _peer() -> Json:
    """The authenticated client, as a proxy tells a server of it; there is no TLS where requests are
    read, only inside the tunnel's connection."""
    return {"key": _PEER_HEADER, "value": f"URI=%FILTER_STATE({names.PEER_STATE}:PLAIN)%"}


def _grpc(site: Site, asked: ExternalAuthorizer) -> Json:
    service: Json = {
        "envoy_grpc": {"cluster_name": site.name(names.authorizer_cluster(asked.service, asked.port))},
        "timeout": _timeout(asked),
        "initial_metadata": [_peer()],
    }
    return {"grpc_service": service, "encode_raw_headers": True}


def _http(site: Site, asked: ExternalAuthorizer) -> Json:
    host, _, _ = asked.service.partition("/")
    told = [{"key": key, "value": value.replace("%", "%%")} for key, value in asked.added_headers]
    answered = {
        field: _patterns(wanted)
        for field, wanted in (
            ("allowed_upstream_headers", asked.headers_upstream),
            ("allowed_client_headers", asked.headers_on_deny),
            ("allowed_client_headers_on_success", asked.headers_on_allow),
        )
        if wanted
    }
    uri: dict[str, Any] = {
        "uri": f"http://{asked.service.rpartition('/')[2]}.{host}.svc",
        "cluster": site.name(names.authorizer_cluster(asked.service, asked.port)),
        "timeout": _timeout(asked),
    }
    service: Json = {
        "server_uri": uri,
        "path_prefix": asked.path_prefix,
        "authorization_request": {"headers_to_add": [_peer(), *told]},
        "authorization_response": answered,
    }
    out: Json = {"http_service": service}
    if asked.request_headers:
        out["allowed_headers"] = _patterns(asked.request_headers)
    return out


def _patterns(wanted: tuple[str, ...]) -> Json:
    return {"patterns": [_pattern(one) for one in wanted]}


def _pattern(text: str) -> Json:
    if text == "*":
        return {"safe_regex": regex(".*")}
    if text.startswith("*"):
        return {"suffix": text[1:], "ignore_case": True}
    if text.endswith("*"):
        return {"prefix": text[:-1], "ignore_case": True}
    return {"exact": text, "ignore_case": True}
