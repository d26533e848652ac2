"""Istio's security kinds."""

from __future__ import annotations

from typing import Any

import pytest

V1 = "security.istio.io/v1"


def allow(*rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"rules": list(rules), **fields}


def source(**fields: Any) -> dict[str, Any]:
    return allow({"from": [{"source": fields}]})


def operation(**fields: Any) -> dict[str, Any]:
    return allow({"to": [{"operation": fields}]})


def when(**fields: Any) -> dict[str, Any]:
    return allow({"when": [fields]})


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"rules": []},
        allow({}),
        allow({"when": []}),
        {"action": "DENY", "rules": [{}]},
        allow({}, action="CUSTOM", provider={"name": "p"}),
        source(principals=["a/ns/b/sa/*", "*/c", "*"], notNamespaces=["x"]),
        source(serviceAccounts=["a/b", "c"], ipBlocks=["10.0.0.1", "fd00::/8"]),
        operation(paths=["/a/{*}/b", "/{**}"], ports=["80"], methods=["GET"], hosts=["*.x"]),
        when(key="request.headers[x-a]", values=["b*"]),
        when(key="request.auth.claims[a][b]", notValues=["c"]),
        when(key="source.ip", values=["10.0.0.0/8"]),
        when(key="destination.port", values=["80"]),
    ],
)
def test_what_is_right(judge: Any, spec: dict[str, Any]) -> None:
    assert judge(V1, "AuthorizationPolicy", spec=spec) == set()


RULE = "spec.rules[0]"


@pytest.mark.parametrize(
    ("spec", "field", "code"),
    [
        ({"action": "Deny", "rules": [{}]}, "spec.action", "bad-value"),
        ({"action": "DENY"}, "spec.rules", "missing-field"),
        (allow({}, action="CUSTOM"), "spec.provider", "missing-field"),
        (allow({}, provider={"name": "p"}), "spec.provider", "conflict"),
        (allow({"from": []}), f"{RULE}.from", "empty"),
        (allow({"to": []}), f"{RULE}.to", "empty"),
        (allow({"from": [{}]}), f"{RULE}.from[0].source", "empty"),
        (source(namespaces=["a", ""]), f"{RULE}.from[0].source.namespaces[1]", "empty"),
        (source(namespaces=[], notNamespaces=["a"]), f"{RULE}.from[0].source.namespaces", "empty-list"),
        (source(namespaces=["a*b"]), f"{RULE}.from[0].source.namespaces[0]", "wildcard"),
        (source(ipBlocks=["10.0.0"]), f"{RULE}.from[0].source.ipBlocks[0]", "bad-cidr"),
        (source(serviceAccounts=["a/*"]), f"{RULE}.from[0].source.serviceAccounts[0]", "bad-name"),
        (source(serviceAccounts=["a"] * 17), f"{RULE}.from[0].source.serviceAccounts", "too-many"),
        (source(serviceAccounts=["a"], principals=["b"]), f"{RULE}.from[0].source.principals", "conflict"),
        (operation(ports=["0"]), f"{RULE}.to[0].operation.ports[0]", "bad-port"),
        (operation(paths=["/a{*}"]), f"{RULE}.to[0].operation.paths[0]", "bad-path"),
        (when(key="source.ip", values=["x"]), f"{RULE}.when[0].values[0]", "bad-cidr"),
        (when(key="destination.port", values=["x"]), f"{RULE}.when[0].values[0]", "bad-port"),
        (when(key="destination.labels[a]", values=["x"]), f"{RULE}.when[0].key", "bad-value"),
        (when(key="request.headers[]", values=["x"]), f"{RULE}.when[0].key", "bad-value"),
        (when(key="experimental.envoy.filters.a[b]", values=["x"]), f"{RULE}.when[0].key", "no-effect"),
        (when(key="experimental.envoy.filters.a", values=["x"]), f"{RULE}.when[0].key", "bad-value"),
        (when(key="source.namespace", values=["a*b"]), f"{RULE}.when[0].values[0]", "wildcard"),
        (source(trustDomains=["a/b"]), f"{RULE}.from[0].source.trustDomains[0]", "bad-value"),
        ({"selector": {"matchLabels": {"a": "b*"}}}, "spec.selector.matchLabels.a", "bad-label"),
        ({"targetRef": {"kind": "Gateway", "name": "g"}}, "spec.targetRef.kind", "bad-value"),
        ({"targetRef": {"kind": "Service"}}, "spec.targetRef.name", "missing-field"),
        (
            {"targetRefs": [{"kind": "Service", "name": "s", "namespace": "y"}]},
            "spec.targetRefs[0].namespace",
            "not-allowed",
        ),
        (
            {"targetRef": {"group": "networking.istio.io", "kind": "ServiceEntry", "name": "s"}},
            "spec.targetRef.kind",
            "no-effect",
        ),
    ],
)
def test_what_is_wrong(judge: Any, spec: dict[str, Any], field: str, code: str) -> None:
    assert judge(V1, "AuthorizationPolicy", spec=spec) == {(field, code)}


def test_custom_asks_before_it_knows_who_asks(judge: Any) -> None:
    rule = {
        "from": [{"source": {"namespaces": ["a"], "ipBlocks": ["10.0.0.1"]}}],
        "when": [{"key": "source.principal", "values": ["x"]}],
    }
    spec = {"action": "CUSTOM", "provider": {"name": "p"}, "rules": [rule]}
    assert judge(V1, "AuthorizationPolicy", spec=spec) == {
        (f"{RULE}.from[0].source.namespaces", "not-allowed"),
        (f"{RULE}.when[0].key", "not-allowed"),
    }


def test_peer_authentication(judge: Any) -> None:
    ports = {"8080": {"mode": "DISABLE"}}
    selector = {"matchLabels": {"a": "b"}}
    assert judge(V1, "PeerAuthentication", spec={"selector": selector, "portLevelMtls": ports}) == set()
    assert judge(V1, "PeerAuthentication", spec={"portLevelMtls": ports}) == {
        ("spec.portLevelMtls", "conflict")
    }
    bad = {"selector": selector, "mtls": {"mode": "strict"}, "portLevelMtls": {"0": {"mode": "x"}}}
    assert judge(V1, "PeerAuthentication", spec=bad) == {
        ("spec.mtls.mode", "bad-value"),
        ('spec.portLevelMtls["0"]', "bad-port"),
        ('spec.portLevelMtls["0"].mode', "bad-value"),
    }
    assert judge(V1, "PeerAuthentication", spec={"portLevelMtls": {}}) == {("spec.portLevelMtls", "empty")}


@pytest.mark.parametrize(
    ("rule", "field", "code"),
    [
        ({"issuer": ""}, ".issuer", "missing-field"),
        ({"jwks": "x"}, ".jwks", "bad-value"),
        ({"jwks": '{"keys": []}'}, ".jwks", "bad-value"),
        ({"jwks": '{"keys": [{}]}', "jwksUri": "https://a/b"}, ".jwksUri", "conflict"),
        ({"jwksUri": "ftp://a"}, ".jwksUri", "bad-value"),
        ({"audiences": [""]}, ".audiences[0]", "missing-field"),
        ({"fromHeaders": [{"prefix": "x"}]}, ".fromHeaders[0].name", "missing-field"),
        ({"fromHeaders": [{"name": "a b"}]}, ".fromHeaders[0].name", "bad-value"),
        ({"outputClaimToHeaders": [{"header": "x"}]}, ".outputClaimToHeaders[0].claim", "missing-field"),
        ({"outputPayloadToHeader": "a:"}, ".outputPayloadToHeader", "bad-value"),
        ({"timeout": "5"}, ".timeout", "bad-value"),
    ],
)
def test_request_authentication(judge: Any, rule: dict[str, Any], field: str, code: str) -> None:
    spec = {"jwtRules": [{"issuer": "i", "timeout": "5s", **rule}]}
    assert judge(V1, "RequestAuthentication", spec=spec) == {(f"spec.jwtRules[0]{field}", code)}
