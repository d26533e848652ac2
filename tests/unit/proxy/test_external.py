from __future__ import annotations

from typing import Any

from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from msgspec import structs
from tests.support.proxystate import state

from tsujiban.policy.program import (
    AuthzAction,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    ExternalAuthorizer,
    NodeState,
    StringMatch,
)
from tsujiban.proxy import external, names
from tsujiban.proxy.reach import ingress
from tsujiban.proxy.resource import Resource
from tsujiban.proxy.site import SIDECAR

ASKED = ExternalAuthorizer(service="default/server", port=80)
GET = AuthzOperation(methods=(StringMatch(exact="GET"),))


def world(*asked: ExternalAuthorizer | None) -> NodeState:
    found = state(authorization=tuple(f"c{index}" for index in range(len(asked))))
    for index, one in enumerate(asked):
        name = f"c{index}"
        rules = (
            AuthzRule(id=f"{name}/0"),
            AuthzRule(id=f"{name}/1", operations=(GET, AuthzOperation(ports=(80,)))),
        )
        found.authorizations[name] = AuthzProgram(
            id=name, action=AuthzAction.CUSTOM, external=one, rules=rules
        )
    return found


def question(*asked: ExternalAuthorizer | None) -> external.Question | None:
    found = world(*asked)
    return external.question(found, found.endpoints["default/server"])


def resources(asked: ExternalAuthorizer) -> list[Resource]:
    found = question(asked)
    assert found is not None
    return external.resources(SIDECAR, found, ingress(found.alone, found.bare))


def config(asked: ExternalAuthorizer) -> Any:
    message: Any = resources(asked)[1].message()
    found = ext_authz_pb2.ExtAuthz()
    assert message.typed_config.Unpack(found)
    return found


def test_nobody_is_asked_without_one_known_provider() -> None:
    other = structs.replace(ASKED, port=81)
    for asked in ((), (None,), (ASKED, None), (ASKED, other)):
        assert question(*asked) is None
    made = external.resources(SIDECAR, None, None)
    assert [one.name for one in made] == [names.RBAC_CUSTOM, names.EXT_AUTHZ]
    assert question(ASKED, ASKED) is not None


def test_what_is_no_request_is_not_asked_about() -> None:
    found = question(ASKED)
    assert found is not None
    first, second = found.alone.authorizations["c0"].rules
    anything = (StringMatch(present=True),)
    assert [one.methods for one in first.operations] == [anything]
    assert [one.methods for one in second.operations] == [GET.methods, anything]
    assert found.alone.authorizations["c0"].action is AuthzAction.DENY


def test_the_provider_is_where_its_service_is_ready() -> None:
    names_made = [one.name for one in resources(ASKED)]
    assert names_made == [names.RBAC_CUSTOM, names.EXT_AUTHZ, "authorizer|default/server|80"]
    cluster: Any = resources(ASKED)[2].message()
    ((endpoint,),) = [group.lb_endpoints for group in cluster.load_assignment.endpoints]
    assert endpoint.endpoint.address.envoy_internal_address.endpoint_id == "10.244.0.1:8080"
    gone: Any = resources(structs.replace(ASKED, service="default/none"))[2].message()
    assert not gone.load_assignment.endpoints[0].lb_endpoints


def test_what_it_is_told_and_who_asks() -> None:
    found = config(structs.replace(ASKED, timeout_ms=1500, body_bytes=7, body_as_bytes=True))
    assert found.grpc_service.timeout.ToMilliseconds() == 1500
    assert names.PEER_STATE in found.grpc_service.initial_metadata[0].value
    assert (found.with_request_body.max_request_bytes, found.with_request_body.pack_as_bytes) == (7, True)
    assert not found.failure_mode_allow
    assert found.encode_raw_headers
    assert found.status_on_error.code == 403
    assert config(structs.replace(ASKED, status_on_error=503)).status_on_error.code == 503
    assert (
        config(structs.replace(ASKED, status_on_error=499)).status_on_error.code == 403
    )  # Envoy has no such


def test_an_http_provider_hears_and_says_only_what_is_declared() -> None:
    asked = structs.replace(
        ASKED,
        grpc=False,
        request_headers=("x-a", "x-b*", "*-c", "*"),
        added_headers=(("x-from", "100%"),),
        headers_upstream=("x-user",),
    )
    found = config(asked)
    patterns = found.allowed_headers.patterns
    assert [patterns[0].exact, patterns[1].prefix, patterns[2].suffix] == ["x-a", "x-b", "-c"]
    assert patterns[3].safe_regex.regex == ".*"
    sent = found.http_service.authorization_request.headers_to_add
    assert [(one.key, one.value) for one in sent][1:] == [("x-from", "100%%")]
    answer = found.http_service.authorization_response
    assert answer.allowed_upstream_headers.patterns[0].exact == "x-user"
    assert not answer.HasField("allowed_client_headers")
