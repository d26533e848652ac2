from __future__ import annotations

from typing import Any

import pytest
from msgspec import json
from tests.support.manifests import objects

from tsujiban.policy import providers
from tsujiban.policy.definitions import AuthorizationForm
from tsujiban.policy.graph import PolicyGraph, key_of
from tsujiban.policy.program import AuthzAction, AuthzProgram, ExternalAuthorizer
from tsujiban.resources import selectors

KEY = ("AuthorizationPolicy.security.istio.io", "x", "p")
ASKED = ExternalAuthorizer(service="foo/authz", port=9000)
MESH = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    accessLogFile: /dev/stdout
    extensionProviders:
    - name: mine
      envoyExtAuthzGrpc: {service: authz.foo.svc.cluster.local, port: 9000}
"""
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: x}
spec: {action: CUSTOM, provider: {name: mine}, rules: [{}]}
"""


def read(kind: str, **fields: Any) -> ExternalAuthorizer | None:
    one = {"name": "n", kind: {"service": "authz.foo", "port": 9000, **fields}}
    return providers.read(json.encode({"extensionProviders": [one]}).decode()).get("n")


def grpc(**fields: Any) -> ExternalAuthorizer | None:
    return read("envoyExtAuthzGrpc", **fields)


def test_a_grpc_provider() -> None:
    assert grpc() == ASKED
    body = {"maxRequestBytes": 10, "allowPartialMessage": True, "packAsBytes": True}
    found = grpc(timeout="1.5s", failOpen=True, statusOnError="503", includeRequestBodyInCheck=body)
    assert found is not None
    assert (found.timeout_ms, found.fail_open, found.status_on_error) == (1500, True, 503)
    assert (found.body_bytes, found.partial_body, found.body_as_bytes) == (10, True, True)


def test_an_http_provider() -> None:
    found = read(
        "envoyExtAuthzHttp",
        pathPrefix="/check",
        includeRequestHeadersInCheck=["X-B"],
        includeHeadersInCheck=["x-a*"],
        includeAdditionalHeadersInCheck={"x-from": "mesh"},
        headersToUpstreamOnAllow=["X-User"],
        headersToDownstreamOnDeny=["*"],
    )
    assert found is not None
    assert not found.grpc
    assert (found.path_prefix, found.request_headers) == ("/check", ("x-a*", "x-b"))
    assert (found.added_headers, found.headers_upstream) == ((("x-from", "mesh"),), ("x-user",))
    assert found.headers_on_deny == ("*",)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("authz.foo", "foo/authz"),
        ("foo/authz.foo.svc.cluster.local", "foo/authz"),
        ("foo/authz", "foo/authz"),
    ],
)
def test_how_a_service_may_be_written(service: str, expected: str) -> None:
    found = grpc(service=service)
    assert found is not None
    assert found.service == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"service": "authz"},
        {"service": "authz.example.com"},
        {"port": 0},
        {"port": "x"},
        {"timeout": "soon"},
        {"statusOnError": "200"},
        {"unknown": 1},
    ],
)
def test_what_cannot_be_understood_is_no_provider(fields: dict[str, Any]) -> None:
    assert grpc(**fields) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"pathPrefix": "check"},
        {"includeHeadersInCheck": ["a b"]},
        {"includeAdditionalHeadersInCheck": {"x": "1\n2"}},
        {"headersToUpstreamOnAllow": [""]},
    ],
)
def test_what_a_proxy_would_refuse_is_no_provider(fields: dict[str, Any]) -> None:
    assert read("envoyExtAuthzHttp", **fields) is None


def test_one_that_is_wrong_or_of_another_kind_leaves_the_others() -> None:
    good = {"name": "a", "envoyExtAuthzGrpc": {"service": "authz.foo", "port": 9000}}
    listed = [{"name": "z", "zipkin": {}}, 7, good, {**good, "name": ""}]
    assert providers.read(json.encode({"extensionProviders": listed}).decode()) == {"a": ASKED}
    for text in ("", "a: [", "[]", "extensionProviders: 1", "a: 1\n---\nb: 2\n"):
        assert providers.read(text) == {}


def test_policies_follow_the_configuration() -> None:
    form = AuthorizationForm(
        program=AuthzProgram(id="x/authz:p", action=AuthzAction.CUSTOM, provider="mine"),
        selector=selectors.EVERYTHING,
    )
    known = providers.Providers()
    assert known.resolved(KEY, form) == form
    ((key, found),) = known.change(objects(MESH)[0].object)
    assert (key, found.program.external) == (KEY, ASKED)
    ((_, found),) = known.change(None)
    assert found.program.external is None
    known.resolved(KEY, None)
    assert list(known.change(objects(MESH)[0].object)) == []


def test_the_graph_tells_of_a_changed_provider_whichever_comes_first() -> None:
    changes = [(key_of(one.object), one) for one in objects(MESH, POLICY)]
    for order in (changes, changes[::-1]):
        graph = PolicyGraph()
        for one in order:
            graph.apply([one])
        assert graph.authorizations["x/authz:p"].external == ASKED
    assert graph.apply([(changes[0][0], None)])
    assert graph.authorizations["x/authz:p"].external is None
