"""security.istio.io, as Istio's API reference has it."""

from __future__ import annotations

import pytest
from tests.support.manifests import judge, objects, world

from tsujiban.policy.authorize import string_matches
from tsujiban.policy.definitions import AuthorizationForm, PeerAuthenticationForm, RequestAuthenticationForm
from tsujiban.policy.dialects import istio
from tsujiban.policy.dialects.common import NOWHERE
from tsujiban.policy.dialects.istio import MeshNames, account_match, path_match, principal_match, value_match
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import AuthzAction, AuthzRule, JwtRule, MtlsMode, StringMatch
from tsujiban.resources.kinds import istio as kinds

MESH = MeshNames("bank.example")
HEAD = """\
apiVersion: security.istio.io/v1
kind: {kind}
metadata: {{name: p, namespace: {where}{more}}}
spec: {spec}"""


def authorization(spec: str, where: str = "x", more: str = "") -> AuthorizationForm:
    text = HEAD.format(kind="AuthorizationPolicy", spec=spec, where=where, more=more)
    found = objects(text)[0].object
    assert isinstance(found, kinds.AuthorizationPolicy)
    return istio.compile_authorization(found, NOWHERE, MESH)


def rule(text: str) -> AuthzRule:
    (found,) = authorization(f"{{rules: [{text}]}}").program.rules
    return found


def authentication(spec: str, where: str = "x") -> PeerAuthenticationForm:
    text = HEAD.format(kind="PeerAuthentication", spec=spec, where=where, more="")
    found = objects(text)[0].object
    assert isinstance(found, kinds.PeerAuthentication)
    return istio.compile_peer_authentication(found, MESH)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("*", StringMatch(present=True)),
        ("*.example", StringMatch(suffix=".example")),
        ("/api/*", StringMatch(prefix="/api/")),
        ("exact", StringMatch(exact="exact")),
        ("a*b", StringMatch(exact="a*b")),  # a star inside is a star
        ("", StringMatch(exact="")),
    ],
)
def test_value_forms(value: str, match: StringMatch) -> None:
    assert value_match(value) == match


@pytest.mark.parametrize(
    ("template", "path", "matches"),
    [
        ("/a/{*}", "/a/b", True),
        ("/a/{*}", "/a/b/c", False),  # one segment
        ("/a/{*}", "/a/", False),  # and not none
        ("/{*}/b", "/a/b", True),
        ("/a/{**}", "/a/b/c", True),  # any number of segments
        ("/a/{**}/z", "/a/b/c/z", True),
        ("/a/{**}/z", "/a/b/c", False),
        ("/a.b/{*}", "/axb/c", False),  # a dot is a dot
    ],
)
def test_path_templates(template: str, path: str, matches: bool) -> None:
    found = path_match(template)
    assert found.template == template
    assert string_matches(found, path) is matches


def test_a_path_without_braces_is_as_any_value() -> None:
    assert path_match("/api*") == StringMatch(prefix="/api")
    assert path_match("*/api") == StringMatch(suffix="/api")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("cluster.local/ns/x/sa/a", StringMatch(exact="bank.example/ns/x/sa/a")),
        ("cluster.local/ns/x/*", StringMatch(prefix="bank.example/ns/x/")),
        ("bank.example/ns/x/sa/a", StringMatch(exact="bank.example/ns/x/sa/a")),
        ("other.example/ns/x/sa/a", StringMatch(exact="other.example/ns/x/sa/a")),
        ("cluster.localhost/ns/x/sa/a", StringMatch(exact="cluster.localhost/ns/x/sa/a")),
        ("*/sa/a", StringMatch(suffix="/sa/a")),
        ("*", StringMatch(present=True)),
    ],
)
def test_the_local_trust_domain_in_a_principal_is_the_meshs(value: str, match: StringMatch) -> None:
    assert principal_match(value, MESH) == match


@pytest.mark.parametrize(("value", "principal"), [("sa", "/ns/x/sa/sa"), ("y/sa", "/ns/y/sa/sa")])
def test_accounts_are_of_the_policys_namespace_unless_they_say_another(value: str, principal: str) -> None:
    assert account_match(value, "x") == StringMatch(suffix=principal)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("{rules: [{}]}", AuthzAction.ALLOW),
        ("{action: DENY, rules: [{}]}", AuthzAction.DENY),
        ("{action: AUDIT, rules: [{}]}", AuthzAction.AUDIT),
        ("{action: CUSTOM, provider: {name: ext}, rules: [{}]}", AuthzAction.CUSTOM),
    ],
)
def test_actions(text: str, action: AuthzAction) -> None:
    program = authorization(text).program
    assert program.id == "x/authz:p"
    assert program.action is action
    assert program.provider == ("ext" if action is AuthzAction.CUSTOM else "")
    assert [found.id for found in program.rules] == ["x/authz:p/0"]


def test_no_rules_are_not_one_rule_that_matches_everything() -> None:
    assert authorization("{}").program.rules == ()
    assert rule("{}") == AuthzRule(id="x/authz:p/0")


@pytest.mark.parametrize(("word", "dry"), [("'true'", True), ("'false'", False)])
def test_dry_run(word: str, dry: bool) -> None:
    found = authorization("{rules: [{}]}", more=f", annotations: {{istio.io/dry-run: {word}}}")
    assert found.program.dry_run is dry


@pytest.mark.parametrize(
    ("spec", "where", "a_in_x", "b_in_x", "a_in_y"),
    [
        ("{}", "x", True, True, False),
        ("{}", "istio-system", True, True, True),
        ("{selector: {matchLabels: {app: a}}}", "x", True, False, False),
        ("{selector: {matchLabels: {app: a}}}", "istio-system", True, False, True),
        ("{selector: {matchLabels: {}}}", "x", True, True, False),
    ],
)
def test_whom_a_policy_selects(spec: str, where: str, a_in_x: bool, b_in_x: bool, a_in_y: bool) -> None:
    selected = [authorization(spec, where).selector]
    if where == "x" or spec == "{}":  # a PeerAuthentication of the mesh has no selector
        selected.append(authentication(spec, where).selector)
    for found in selected:
        assert found.matches({"app": "a", "projectcalico.org/namespace": "x"}) is a_in_x
        assert found.matches({"app": "b", "projectcalico.org/namespace": "x"}) is b_in_x
        assert found.matches({"app": "a", "projectcalico.org/namespace": "y"}) is a_in_y


TWINS = {
    "principals": ("principals", "notPrincipals"),
    "namespaces": ("namespaces", "notNamespaces"),
    "request_principals": ("requestPrincipals", "notRequestPrincipals"),
}


@pytest.mark.parametrize(("field", "words"), TWINS.items())
def test_sources_and_their_twins(field: str, words: tuple[str, str]) -> None:
    plain, negative = words
    (source,) = rule(f"{{from: [{{source: {{{plain}: [a], {negative}: [b]}}}}]}}").sources
    assert getattr(source, field) == (StringMatch(exact="a"),)
    assert getattr(source, f"not_{field}") == (StringMatch(exact="b"),)


def test_addresses_of_a_source() -> None:
    blocks = "ipBlocks: [10.0.0.0/8], notIpBlocks: [10.1.0.0/16]"
    remote = "remoteIpBlocks: [192.0.2.0/24], notRemoteIpBlocks: [192.0.2.1]"
    (source,) = rule(f"{{from: [{{source: {{{blocks}, {remote}}}}}]}}").sources
    assert (source.ip_blocks, source.not_ip_blocks) == (("10.0.0.0/8",), ("10.1.0.0/16",))
    assert (source.remote_ip_blocks, source.not_remote_ip_blocks) == (("192.0.2.0/24",), ("192.0.2.1",))


def test_the_alias_holds_for_negative_principals_too() -> None:
    """Else a mesh with a trust domain of its own would not be denied by `notPrincipals`."""
    (source,) = rule("{from: [{source: {notPrincipals: [cluster.local/ns/x/sa/a]}}]}").sources
    assert source.not_principals == (StringMatch(exact="bank.example/ns/x/sa/a"),)


def test_accounts_become_principals() -> None:
    (source,) = rule("{from: [{source: {serviceAccounts: [a, y/b]}}]}").sources
    assert [match.suffix for match in source.principals] == ["/ns/x/sa/a", "/ns/y/sa/b"]
    (source,) = rule("{from: [{source: {notServiceAccounts: [a]}}]}").sources
    assert [match.suffix for match in source.not_principals] == ["/ns/x/sa/a"]


def test_a_selector_in_the_root_namespace_selects_nothing_for_peer_authentication() -> None:
    found = authentication("{selector: {matchLabels: {app: a}}, mtls: {mode: DISABLE}}", "istio-system")
    assert not found.selector.matches({"app": "a", "projectcalico.org/namespace": "istio-system"})


def test_a_target_names_the_pods_of_gateways_and_services() -> None:
    group = "group: gateway.networking.k8s.io"
    form = authorization(f"{{targetRefs: [{{kind: Service, name: s}}, {{{group}, kind: Gateway, name: g}}]}}")
    assert form.services == ("x/s",)
    labels = {"gateway.networking.k8s.io/gateway-name": "g", "projectcalico.org/namespace": "x"}
    assert form.selector.matches(labels)
    assert not form.selector.matches({**labels, "projectcalico.org/namespace": "y"})
    assert not form.selector.matches({"app": "a", "projectcalico.org/namespace": "x"})


def test_operations_and_their_twins() -> None:
    (operation,) = rule(
        """{to: [{operation: {hosts: ['*.example'], notHosts: [a], ports: ['80'], notPorts: ['81'],
        methods: [GET], notMethods: [PUT], paths: ['/a/{*}'], notPaths: ['/b*']}}]}"""
    ).operations
    assert operation.hosts == (StringMatch(suffix=".example"),)
    assert operation.not_hosts == (StringMatch(exact="a"),)
    assert (operation.ports, operation.not_ports) == ((80,), (81,))
    assert operation.methods == (StringMatch(exact="GET"),)
    assert operation.not_methods == (StringMatch(exact="PUT"),)
    assert operation.paths == (StringMatch(template="/a/{*}"),)
    assert operation.not_paths == (StringMatch(prefix="/b"),)


@pytest.mark.parametrize("key", ["source.ip", "remote.ip", "destination.ip"])
def test_conditions_on_addresses_hold_networks(key: str) -> None:
    (found,) = rule(f"{{when: [{{key: {key}, values: [10.0.0.0/8], notValues: [10.0.0.1]}}]}}").conditions
    assert (found.cidrs, found.not_cidrs, found.values) == (("10.0.0.0/8",), ("10.0.0.1",), ())


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("source.principal", "cluster.local/ns/x/sa/a", StringMatch(exact="bank.example/ns/x/sa/a")),
        ("source.namespace", "x*", StringMatch(prefix="x")),
        ("request.headers[x-team]", "*", StringMatch(present=True)),
        ("destination.port", "80", StringMatch(exact="80")),
    ],
)
def test_other_conditions_hold_values(key: str, value: str, match: StringMatch) -> None:
    (found,) = rule(f"{{when: [{{key: '{key}', values: ['{value}']}}]}}").conditions
    assert (found.key, found.values) == (key, (match,))
    (found,) = rule(f"{{when: [{{key: '{key}', notValues: ['{value}']}}]}}").conditions
    assert found.not_values == (match,)


@pytest.mark.parametrize(
    ("spec", "where", "scope", "mode", "ports"),
    [
        ("{mtls: {mode: STRICT}}", "istio-system", 0, MtlsMode.STRICT, {}),
        ("{mtls: {mode: PERMISSIVE}}", "x", 1, MtlsMode.PERMISSIVE, {}),
        ("{mtls: {mode: UNSET}}", "x", 1, None, {}),
        ("{}", "x", 1, None, {}),
        (
            "{selector: {matchLabels: {app: a}}, mtls: {mode: DISABLE}, "
            "portLevelMtls: {'80': {mode: STRICT}}}",
            "x",
            2,
            MtlsMode.DISABLE,
            {80: MtlsMode.STRICT},
        ),
        (
            "{selector: {matchLabels: {app: a}}, portLevelMtls: {'80': {mode: UNSET}}}",
            "istio-system",
            2,
            None,
            {80: None},
        ),
    ],
)
def test_scopes_and_modes_of_peer_authentication(
    spec: str, where: str, scope: int, mode: MtlsMode | None, ports: dict[int, MtlsMode | None]
) -> None:
    found = authentication(spec, where)
    assert (found.scope, found.mode, found.ports) == (scope, mode, ports)
    assert found.id == f"{where}/pa:p/mtls"


def test_port_modes_count_only_beside_a_selector() -> None:
    spec = kinds.PeerAuthenticationSpec(port_level_mtls={"80": kinds.MutualTLS(mode="DISABLE")})
    policy = kinds.PeerAuthentication(
        api_version="security.istio.io/v1", kind="PeerAuthentication", spec=spec
    )
    assert istio.compile_peer_authentication(policy, MESH).ports == {}


def test_request_authentication() -> None:
    text = HEAD.format(
        kind="RequestAuthentication",
        where="x",
        more="",
        spec="""
          jwtRules:
          - issuer: https://i
            audiences: [me]
            jwksUri: https://i/keys
            fromHeaders: [{name: x-token, prefix: "T "}]
            forwardOriginalToken: true
          - {issuer: https://j, fromParams: [t], fromCookies: [c]}""",
    )
    found = objects(text)[0].object
    assert isinstance(found, kinds.RequestAuthentication)
    told = istio.compile_request_authentication(found, NOWHERE, MESH)
    assert isinstance(told, RequestAuthenticationForm)
    assert told.rules == (
        JwtRule(
            issuer="https://i",
            id="x/ra:p/0",
            audiences=("me",),
            jwks_uri="https://i/keys",
            from_headers=(("x-token", "T "),),
            forward=True,
        ),
        JwtRule(issuer="https://j", id="x/ra:p/1", from_params=("t",), from_cookies=("c",)),
    )


def precedence(*parts: tuple[str, str]) -> OfflineWorld:
    texts = [
        HEAD.format(kind="PeerAuthentication", spec=spec, where=where, more="").replace(
            "name: p", f"name: p{n}"
        )
        for n, (where, spec) in enumerate(parts)
    ]
    return world(*texts)


MESH_STRICT = ("istio-system", "{mtls: {mode: STRICT}}")
OPEN_X = ("x", "{mtls: {mode: PERMISSIVE}}")
CLOSED_A = (
    "x",
    "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {'81': {mode: DISABLE}}}",
)


@pytest.mark.parametrize(
    ("parts", "to_a", "to_a_81", "to_b", "to_c"),
    [
        ([MESH_STRICT], False, False, False, False),
        ([MESH_STRICT, OPEN_X], True, True, True, False),
        ([MESH_STRICT, OPEN_X, CLOSED_A], False, True, True, False),
    ],
)
def test_mesh_namespace_workload_port(
    parts: list[tuple[str, str]], to_a: bool, to_a_81: bool, to_b: bool, to_c: bool
) -> None:
    where = precedence(*parts)
    asked = (("x/a", 80), ("x/a", 81), ("x/b", 80), ("y/c", 80))
    got = tuple(judge(where, "192.0.2.1", name, port=port)[0] for name, port in asked)
    assert got == (to_a, to_a_81, to_b, to_c)
