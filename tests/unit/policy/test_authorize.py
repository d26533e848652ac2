from __future__ import annotations

import pytest
from tests.support.manifests import judge, world

from tsujiban.policy.authorize import host_parts, request_path, string_matches
from tsujiban.policy.dialects.istio import path_match, value_match
from tsujiban.policy.flow import Request
from tsujiban.policy.program import Action

HEAD = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  action: {action}
  rules: {rules}
"""
TOKENS = """
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: ra, namespace: x}
spec: {jwtRules: [{issuer: https://i, audiences: [me]}]}
"""


def policy(rules: str, action: str = "ALLOW", name: str = "p", namespace: str = "x") -> str:
    return HEAD.format(rules=rules, action=action, name=name, namespace=namespace)


def test_allow_needs_one_that_matches() -> None:
    where = world(policy("[{from: [{source: {namespaces: [y]}}]}]"))
    assert judge(where, "y/c", "x/a", port=80)[1][-1] == "x/authz:p/0"
    assert judge(where, "x/b", "x/a", port=80) == (False, ("_authz/no-allow",))


def test_deny_goes_before_allow() -> None:
    where = world(policy("[{}]"), policy("[{to: [{operation: {ports: ['81']}}]}]", "DENY", "d"))
    assert judge(where, "x/b", "x/a", port=80)[0]
    assert judge(where, "x/b", "x/a", port=81) == (False, ("x/authz:d/0",))


def test_custom_cannot_be_judged_here_so_it_denies_what_it_matches() -> None:
    where = world(policy("[{to: [{operation: {ports: ['81']}}]}]", "CUSTOM\n  provider: {name: ext}", "c"))
    assert judge(where, "x/b", "x/a", port=81) == (False, ("x/authz:c/0",))


def test_a_header_that_a_rule_names_is_given_once_or_denied() -> None:
    rule = "[{when: [{key: 'request.headers[X-Role]', values: [guest]}]}]"
    where = world(policy(rule, "DENY"))
    once = Request(headers={"x-role": "admin", "x-b": "1,2"}, repeated=frozenset({"x-b"}))
    assert judge(where, "x/b", "x/a", port=80, http=once)[0]
    twice = Request(headers={"x-role": "guest,admin"}, repeated=frozenset({"x-role"}))
    assert judge(where, "x/b", "x/a", port=80, http=twice) == (False, ("_authz/no-allow",))


@pytest.mark.parametrize("name", ["x_role", "x.role", "x~role"])
def test_a_header_that_an_application_may_take_for_one_that_a_rule_names_is_denied(name: str) -> None:
    """Behind CGI or WSGI, names that differ in punctuation alone are one variable."""
    rule = "[{when: [{key: 'request.headers[X-Role]', values: [guest]}]}]"
    where = world(policy(rule, "DENY"))
    dodged = Request(headers={name: "guest", "x-role": "admin"})
    assert judge(where, "x/b", "x/a", port=80, http=dodged) == (False, ("_authz/no-allow",))
    other = Request(headers={name + "s": "guest", "x-role": "admin"})
    assert judge(where, "x/b", "x/a", port=80, http=other)[0]
    itself = world(policy(rule.replace("X-Role", "X_Role"), "DENY"))
    assert judge(itself, "x/b", "x/a", port=80, http=Request(headers={"x_role": "admin"}))[0]


def test_a_header_that_holds_tokens_is_given_once_or_denied() -> None:
    where = world(TOKENS)
    twice = Request(headers={"authorization": "a,b"}, repeated=frozenset({"authorization"}))
    assert judge(where, "x/b", "x/a", port=80, http=twice) == (False, ("_authz/no-allow",))
    assert judge(where, "x/b", "y/c", port=80, http=twice)[0]


def test_audits_decide_nothing_and_are_named() -> None:
    gets = "[{to: [{operation: {methods: [GET]}}]}, {}]"
    where = world(
        policy(gets, "AUDIT", "watch"), policy("[{from: [{source: {namespaces: [none]}}]}]", "AUDIT", "never")
    )
    for http, expected in ((Request(), "x/authz:watch/0"), (None, "x/authz:watch/1")):
        verdict = where.evaluate(where.flow(where.end("x/b"), where.end("x/a"), port=80, http=http))
        assert verdict.verdict is Action.ALLOW
        assert verdict.layers[-1].logged == (expected,)


def test_the_root_namespace_speaks_for_the_mesh() -> None:
    where = world(policy("[{from: [{source: {namespaces: [x]}}]}]", namespace="istio-system"))
    assert judge(where, "x/b", "y/c", port=80)[0]
    assert not judge(where, "y/c", "x/a", port=80)[0]


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("{principals: ['cluster.local/ns/x/sa/sb']}", True),
        ("{principals: ['*/sa/sb']}", True),
        ("{principals: ['*']}", True),
        ("{principals: ['other/ns/x/sa/sb']}", False),
        ("{notPrincipals: ['*/sa/sb']}", False),
        ("{serviceAccounts: ['sb']}", True),
        ("{serviceAccounts: ['y/sb']}", False),
        ("{namespaces: ['x']}", True),
        ("{notNamespaces: ['x']}", False),
        ("{ipBlocks: ['10.0.0.2']}", True),
        ("{notIpBlocks: ['10.0.0.0/24']}", False),
        ("{remoteIpBlocks: ['10.0.0.0/24']}", True),
        ("{requestPrincipals: ['*']}", False),
    ],
)
def test_sources(source: str, allowed: bool) -> None:
    where = world(policy(f"[{{from: [{{source: {source}}}]}}]"))
    assert judge(where, "x/b", "x/a", port=80, http=Request())[0] is allowed


@pytest.mark.parametrize(
    "clause", ["{principals: ['*']}", "{notPrincipals: ['*/sa/x']}", "{notNamespaces: [z]}"]
)
def test_plaintext_matches_no_identity_clause_of_an_allow(clause: str) -> None:
    where = world(policy(f"[{{from: [{{source: {clause}}}]}}]"))
    assert judge(where, "192.0.2.1", "x/a", port=80) == (False, ("_authz/no-allow",))


def test_plaintext_is_caught_by_a_negative_clause_of_a_deny() -> None:
    where = world(policy("[{from: [{source: {notNamespaces: [x]}}]}]", "DENY"))
    assert judge(where, "192.0.2.1", "x/a", port=80)[1] == ("x/authz:p/0",)


@pytest.mark.parametrize(("action", "allowed"), [("ALLOW", False), ("DENY", False)])
def test_a_connection_that_is_not_http_meets_http_clauses_closed(action: str, allowed: bool) -> None:
    where = world(policy("[{to: [{operation: {methods: [GET]}}]}]", action))
    assert judge(where, "x/b", "x/a", port=80)[0] is allowed


@pytest.mark.parametrize(
    ("operation", "allowed"),
    [
        ("{methods: [GET]}", True),
        ("{notMethods: [GET]}", False),
        ("{paths: [/api/*]}", True),
        ("{paths: ['/api/{*}']}", True),
        ("{paths: ['/{**}']}", True),
        ("{paths: ['/{*}']}", False),
        ("{notPaths: [/api/v]}", False),
        ("{hosts: [WEB.example]}", True),
        ("{hosts: ['*.example']}", True),
        ("{notPorts: ['80']}", False),
    ],
)
def test_operations(operation: str, allowed: bool) -> None:
    where = world(policy(f"[{{to: [{{operation: {operation}}}]}}]"))
    request = Request(method="GET", path="//api/./v?q", host="web.example")
    assert judge(where, "x/b", "x/a", port=80, http=request)[0] is allowed


@pytest.mark.parametrize(
    ("host", "denied"),
    [
        ("admin.example", True),
        ("Admin.Example:80", True),
        ("admin.example.", True),  # the same name, to the root of all names
        ("admin.example..:80", True),
        ("admin.example:", True),  # a port may be empty
        ("admin.example:http", True),
        ("me@admin.example", True),
        ("other.example@admin.example.:1", True),
        ("admin.example@other.example", False),
        ("xadmin.example", False),
        ("admin.example.evil", False),
        ("[admin.example]", False),
        ("", False),
    ],
)
def test_a_host_is_meant_however_it_is_spelled(host: str, denied: bool) -> None:
    where = world(policy("[{to: [{operation: {hosts: [admin.example]}}]}]", "DENY"))
    assert judge(where, "x/b", "x/a", port=80, http=Request(host=host))[0] is not denied


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        ("a", ("a", "")),
        ("a:1", ("a", ":1")),
        ("a:1:2", ("a", ":1:2")),
        ("[::1]", ("[::1]", "")),
        ("[::1]:80", ("[::1]", ":80")),
        ("[::1]x", ("[::1]x", "")),
        ("[::1", ("[::1", "")),
    ],
)
def test_a_host_is_a_name_or_an_address_and_a_port(host: str, parts: tuple[str, str]) -> None:
    assert host_parts(host) == parts


def test_an_ambiguous_path_is_denied_even_where_no_rule_asks_for_paths() -> None:
    where = world(policy("[{}]"))
    assert judge(where, "x/b", "x/a", port=80, http=Request(path="/a%2fb")) == (False, ("_authz/no-allow",))


@pytest.mark.parametrize(
    ("when", "allowed"),
    [
        ("{key: 'request.auth.claims[groups]', values: [admin]}", True),
        ("{key: 'request.auth.claims[nested][deep]', values: ['o*']}", True),
        ("{key: 'request.auth.claims[groups]', notValues: [admin]}", False),
        ("{key: request.auth.audiences, values: [me]}", True),
        ("{key: request.auth.principal, values: ['https://i/s']}", True),
        ("{key: 'request.headers[X-Team]', values: [red]}", True),
        ("{key: 'request.headers[X-Empty]', values: ['*']}", True),
        ("{key: 'request.headers[X-Empty]', values: ['a*']}", False),
        ("{key: 'request.headers[X-None]', values: ['*']}", False),
        ("{key: 'request.headers[X-None]', notValues: ['*']}", True),
        ("{key: 'request.headers[:method]', values: [PUT]}", True),
        ("{key: 'request.headers[:method]', notValues: ['P*']}", False),
        ("{key: 'request.headers[:path]', values: ['/v*']}", True),
        ("{key: 'request.headers[:authority]', values: [Web.example]}", True),
        ("{key: 'request.headers[host]', values: ['*.example']}", True),
        ("{key: source.ip, notValues: [10.0.0.2/32]}", False),
        ("{key: destination.ip, values: [10.0.0.1]}", True),
        ("{key: destination.port, values: ['80']}", True),
        ("{key: connection.sni, values: [w]}", False),
        ("{key: source.principal, values: ['cluster.local/ns/x/sa/sb']}", True),
    ],
)
def test_conditions(when: str, allowed: bool) -> None:
    where = world(policy(f"[{{when: [{when}]}}]"), TOKENS)
    claims: dict[str, object] = {
        "iss": "https://i",
        "sub": "s",
        "aud": ["me"],
        "groups": ["dev", "admin"],
        "nested": {"deep": "ok"},
    }
    headers = {"x-team": "red", "x-empty": ""}
    request = Request(method="PUT", path="/v", host="web.example", headers=headers, claims=claims)
    assert judge(where, "x/b", "x/a", port=80, http=request)[0] is allowed


@pytest.mark.parametrize("claims", [{"iss": "https://other"}, {"iss": "https://i", "aud": "you"}, {}])
def test_a_token_that_no_rule_takes_is_refused(claims: dict[str, object]) -> None:
    assert judge(world(TOKENS), "x/b", "x/a", port=80, http=Request(claims=claims)) == (False, ("x/ra:ra/0",))


def test_no_token_is_no_reason_to_refuse() -> None:
    assert judge(world(TOKENS), "x/b", "x/a", port=80, http=Request())[0]


def test_dry_run_decides_nothing() -> None:
    text = policy("[{}]", "DENY").replace(
        "namespace: x", "namespace: x, annotations: {istio.io/dry-run: 'true'}"
    )
    assert judge(world(text), "x/b", "x/a", port=80)[0]


def test_an_allow_policy_without_rules_denies_all() -> None:
    assert not judge(world(policy("[]")), "x/b", "x/a", port=80)[0]


def test_value_forms() -> None:
    assert string_matches(value_match("*"), "x")
    assert not string_matches(value_match("*"), "")
    assert string_matches(value_match("a*"), "ab")
    assert string_matches(value_match("*b"), "ab")
    assert not string_matches(value_match("a"), "ab")
    assert string_matches(path_match("/a/{*}/c/{**}"), "/a/b/c/d/e")
    assert not string_matches(path_match("/a/{*}/c"), "/a/b/x/c")


def test_the_last_slash_of_a_path_is_kept() -> None:
    assert request_path("/a//b/?q=1") == "/a/b/"
    assert request_path("/") == "/"
    assert request_path("/a%2fb") is None


def test_who_issued_a_token_and_about_whom_are_compared_apart() -> None:
    asked = policy("[{from: [{source: {requestPrincipals: ['https://i/m*']}}]}]")
    where = world(asked, TOKENS.replace(", audiences: [me]", "}, {issuer: https://i/m"))
    for issuer, subject, allowed in (
        ("https://i", "me", True),
        ("https://i/m", "me", False),
        ("https://i", "you", False),
    ):
        request = Request(claims={"iss": issuer, "sub": subject})
        assert judge(where, "x/b", "x/a", port=80, http=request)[0] is allowed


@pytest.mark.parametrize(
    ("claim", "allowed"),
    [("read write", True), (["read", "write"], True), ("reader", False), (["read write"], False)],
)
def test_the_words_of_a_scope_are_a_list(claim: object, allowed: bool) -> None:
    asked = policy("[{when: [{key: 'request.auth.claims[scope]', values: [write]}]}]")
    where = world(asked, TOKENS.replace(", audiences: [me]", ""))
    claims: dict[str, object] = {"iss": "https://i", "scope": claim}
    assert judge(where, "x/b", "x/a", port=80, http=Request(claims=claims))[0] is allowed


def test_a_token_that_must_be_there() -> None:
    where = world(TOKENS.replace(", audiences: [me]", ", presence: REQUIRED"))
    good = Request(claims={"iss": "https://i"})
    assert judge(where, "x/b", "x/a", port=80, http=good)[0]
    for request in (Request(), None):
        assert judge(where, "x/b", "x/a", port=80, http=request) == (False, ("x/ra:ra/0",))


def test_any_issuer_whose_keys_fit() -> None:
    where = world(TOKENS.replace("issuer: https://i, audiences: [me]", "jwksUri: https://i/keys"))
    assert judge(where, "x/b", "x/a", port=80, http=Request(claims={"iss": "https://other"}))[0]
    assert not judge(where, "x/b", "x/a", port=80, http=Request(claims={"sub": "me"}))[0]


def test_the_trust_domain_as_a_condition() -> None:
    where = world(policy("[{when: [{key: source.trustDomain, values: [cluster.local]}]}]"))
    assert judge(where, "x/b", "x/a", port=80)[0]
    assert not judge(where, "x/b", "x/a", port=80, peer="spiffe://else/ns/x/sa/sb")[0]


def test_where_there_is_no_request_a_rule_that_asks_about_one_is_left_out_whole() -> None:
    mixed = "[{to: [{operation: {ports: ['80']}}, {operation: {methods: [GET]}}]}]"
    assert not judge(world(policy(mixed)), "x/b", "x/a", port=80)[0]
    assert judge(world(policy(mixed)), "x/b", "x/a", port=80, http=Request(method="PUT"))[0]
    assert not judge(world(policy(mixed, "DENY")), "x/b", "x/a", port=80)[0]


SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: s, namespace: x}
spec: {selector: {app: a}, ports: [{port: 80}]}
"""
ATTACHED = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: x}
spec: {action: DENY, targetRef: {kind: Service, name: s}, rules: [{}]}
"""


def test_a_policy_attached_to_a_service_is_in_force_at_its_pods() -> None:
    where = world(ATTACHED, SERVICE)
    assert judge(where, "x/b", "x/a", port=80) == (False, ("x/authz:p/0",))
    assert judge(where, "x/a", "x/b", port=80)[0]
