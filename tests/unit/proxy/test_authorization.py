from __future__ import annotations

import pytest
from tests.support.proxystate import flow, identity, state

from tsujiban.policy.program import (
    AuthzAction,
    AuthzCondition,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    ExternalAuthorizer,
    JwtRule,
    StringMatch,
)
from tsujiban.proxy import paths
from tsujiban.proxy.authorization import Authorization, fixed
from tsujiban.proxy.decisions import Branch, Decision, Leaf, Text, Unreadable

ALLOWED = ("net/0",)
REFUSED = Leaf(allow=False, rules=("_authz/no-allow",))


def exact(text: str) -> tuple[StringMatch, ...]:
    return (StringMatch(exact=text),)


def authorization(
    *rules: AuthzRule, action: AuthzAction = AuthzAction.ALLOW, dry: bool = False
) -> Authorization:
    world = state(authorization=("z",))
    world.authorizations["z"] = AuthzProgram(id="z", action=action, rules=rules, dry_run=dry)
    return Authorization(world, world.endpoints["default/server"])


def decide(*rules: AuthzRule, action: AuthzAction = AuthzAction.ALLOW, name: str = "customer") -> Decision:
    one = flow(80, identity=identity(name) if name else "")
    return readable(authorization(*rules, action=action).decide(one, ALLOWED))


def readable(decision: Decision) -> Decision:
    """What becomes of a request whose path nobody misreads."""
    if decision == REFUSED:
        return decision
    assert isinstance(decision, Branch)
    assert decision.hardening
    assert decision.then == REFUSED
    return decision.otherwise


def one(**clauses: object) -> AuthzRule:
    return AuthzRule(id="z/0", **clauses)  # type: ignore[arg-type]


def test_no_policy_allows_and_no_matching_allow_policy_refuses() -> None:
    world = state()
    plain = Authorization(world, world.endpoints["default/server"])
    assert plain.decide(flow(), ALLOWED) == Leaf(allow=True, rules=ALLOWED)
    assert decide() == REFUSED


def test_a_missing_policy_denies_and_a_dry_run_counts_for_nothing() -> None:
    world = state(authorization=("lost",))
    assert Authorization(world, world.endpoints["default/server"]).decide(flow(), ALLOWED) == REFUSED
    dry = authorization(dry=True)
    assert dry.decide(flow(), ALLOWED) == Leaf(allow=True, rules=ALLOWED)


@pytest.mark.parametrize(
    ("source", "matches"),
    [
        (AuthzSource(principals=exact("t.example/ns/default/sa/customer")), True),
        (AuthzSource(principals=exact("t.example/ns/default/sa/other")), False),
        (AuthzSource(not_principals=exact("t.example/ns/default/sa/customer")), False),
        (AuthzSource(namespaces=exact("default")), True),
        (AuthzSource(not_namespaces=exact("default")), False),
        (AuthzSource(trust_domains=exact("t.example")), True),
        (AuthzSource(principals=(StringMatch(prefix="t.example/ns/"),)), True),
        (AuthzSource(principals=(StringMatch(suffix="/sa/customer"),)), True),
        (AuthzSource(principals=(StringMatch(present=True),)), True),
        (AuthzSource(ip_blocks=("10.0.0.0/8",)), False),
        (AuthzSource(not_ip_blocks=("10.0.0.0/8",)), True),
    ],
)
def test_sources_are_settled_at_once(source: AuthzSource, matches: bool) -> None:
    expected = Leaf(allow=True, rules=(*ALLOWED, "z/0")) if matches else REFUSED
    assert decide(one(sources=(source,))) == expected


def test_without_an_identity_no_allow_rule_that_asks_for_one_matches_and_a_negative_denial_does() -> None:
    negative = one(sources=(AuthzSource(not_principals=exact("t.example/x")),))
    assert decide(negative, name="") == REFUSED
    assert decide(negative, name="", action=AuthzAction.DENY) == Leaf(allow=False, rules=("z/0",))


def test_requests_are_left_to_envoy_behind_a_guard_against_ambiguous_paths() -> None:
    rule = one(operations=(AuthzOperation(methods=exact("GET"), ports=(80,)),))
    whole = authorization(rule).decide(flow(), ALLOWED)
    assert isinstance(whole, Branch)
    assert (whole.test, whole.then, whole.hardening) == (paths.AMBIGUOUS, REFUSED, True)
    assert decide(rule) == Branch(
        test=Text(header=":method", exact="GET"),
        then=Leaf(allow=True, rules=(*ALLOWED, "z/0")),
        otherwise=REFUSED,
    )
    assert decide(one(operations=(AuthzOperation(methods=exact("GET"), ports=(81,)),))) == REFUSED


def test_deny_comes_before_allow_whatever_their_order() -> None:
    world = state(authorization=("yes", "no"))
    world.authorizations["yes"] = AuthzProgram(
        id="yes", action=AuthzAction.ALLOW, rules=(AuthzRule(id="yes/0"),)
    )
    world.authorizations["no"] = AuthzProgram(id="no", action=AuthzAction.DENY, rules=(AuthzRule(id="no/0"),))
    both = Authorization(world, world.endpoints["default/server"])
    assert readable(both.decide(flow(), ALLOWED)) == Leaf(allow=False, rules=("no/0",))


def test_an_audit_decides_nothing_and_leaves_the_first_rule_that_matches() -> None:
    get = AuthzRule(id="z/0", operations=(AuthzOperation(methods=exact("GET")),))
    rest = AuthzRule(id="z/1")
    decision = readable(authorization(get, rest, action=AuthzAction.AUDIT).decide(flow(), ALLOWED))
    assert decision == Branch(
        test=Text(header=":method", exact="GET"),
        then=Leaf(allow=True, rules=ALLOWED, audits=("z/0",)),
        otherwise=Leaf(allow=True, rules=ALLOWED, audits=("z/1",)),
    )
    unknown = one(conditions=(AuthzCondition(key="no.such", values=exact("x")),))
    assert decide(unknown, action=AuthzAction.AUDIT) == Leaf(allow=True, rules=ALLOWED)


def test_who_is_asked_has_decided_about_requests_and_about_nothing_else() -> None:
    world = state(authorization=("z",))
    asked = ExternalAuthorizer(service="a/b", port=1)
    world.authorizations["z"] = AuthzProgram(
        id="z", action=AuthzAction.CUSTOM, external=asked, rules=(one(),)
    )
    decision = Authorization(world, world.endpoints["default/server"]).decide(flow(), ALLOWED)
    assert readable(decision) == Branch(
        test=paths.HTTP,
        then=Leaf(allow=True, rules=ALLOWED),
        otherwise=Leaf(allow=False, rules=("z/0",)),
    )


def test_an_external_authorizer_that_is_not_known_denies() -> None:
    assert decide(one(), action=AuthzAction.CUSTOM) == Leaf(allow=False, rules=("z/0",))


@pytest.mark.parametrize("action", [AuthzAction.ALLOW, AuthzAction.DENY])
def test_what_cannot_be_decided_counts_in_the_closing_direction(action: AuthzAction) -> None:
    unknown = one(conditions=(AuthzCondition(key="no.such", values=exact("x")),))
    leaf = decide(unknown, action=action)
    assert isinstance(leaf, Leaf)
    assert leaf.allow is False


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        (AuthzCondition(key="destination.port", values=exact("80")), True),
        (AuthzCondition(key="destination.port", not_values=exact("80")), False),
        (AuthzCondition(key="source.namespace", values=exact("default")), True),
        (AuthzCondition(key="source.principal", values=(StringMatch(suffix="/customer"),)), True),
        (AuthzCondition(key="connection.sni", values=exact("x")), False),
        (AuthzCondition(key="source.ip", cidrs=("10.0.0.0/8",)), False),
        (AuthzCondition(key="destination.ip", not_cidrs=("10.0.0.0/8",)), True),
    ],
)
def test_conditions_on_the_connection_are_settled_at_once(condition: AuthzCondition, matches: bool) -> None:
    expected = Leaf(allow=True, rules=(*ALLOWED, "z/0")) if matches else REFUSED
    assert decide(one(conditions=(condition,))) == expected


def test_a_condition_on_a_header_reads_the_header_if_it_can_be_read_in_one_way() -> None:
    rule = one(conditions=(AuthzCondition(key="request.headers[X-A]", values=exact("v")),))
    guarded = authorization(rule)
    assert guarded.headers == {"x-a"}
    whole = guarded.decide(flow(80, identity=identity("customer")), ALLOWED)
    assert isinstance(whole, Branch)
    assert (whole.test, whole.then, whole.hardening) == (Unreadable(), REFUSED, True)
    decision = readable(whole.otherwise)
    assert isinstance(decision, Branch)
    assert decision.test == Text(header="x-a", exact="v")


def test_headers_that_hold_tokens_must_be_readable_too() -> None:
    rules = (JwtRule(issuer="i"), JwtRule(issuer="j", from_headers=(("X-T", ""),), from_cookies=("c",)))
    world = state(jwt=rules)
    assert Authorization(world, world.endpoints["default/server"]).headers == {"authorization", "x-t"}
    told = state(jwt=(JwtRule(issuer="i", claims_to_headers=(("X-Sub", "sub"),), payload_header="X-All"),))
    assert Authorization(told, told.endpoints["default/server"]).headers == {
        "authorization",
        "x-sub",
        "x-all",
    }


def test_value_forms() -> None:
    assert fixed((StringMatch(template="/a/{*}/c"),), "/a/b/c")
    assert not fixed((StringMatch(present=True),), "")


def test_what_rules_ask_for_is_listed() -> None:
    wanted = authorization(
        one(
            sources=(AuthzSource(ip_blocks=("10.0.0.0/8",), not_remote_ip_blocks=("10.1.0.0/16",)),),
            operations=(AuthzOperation(ports=(80,), not_ports=(81,)),),
            conditions=(
                AuthzCondition(key="source.ip", cidrs=("10.2.0.0/16",)),
                AuthzCondition(key="destination.port", values=exact("82")),
            ),
        )
    )
    assert set(wanted.nets()) == {"10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"}
    assert set(wanted.ports()) == {80, 81, 82}


def test_the_mesh_s_list_of_revoked_certificates_is_a_denial_and_no_reason_to_harden_anything() -> None:
    world = state(authorization=("_mesh/revoked",))
    rule = AuthzRule(
        id="_mesh/revoked", sources=(AuthzSource(principals=exact("t.example/ns/default/sa/x")),)
    )
    world.authorizations["_mesh/revoked"] = AuthzProgram(
        id="_mesh/revoked", action=AuthzAction.DENY, rules=(rule,), revokes=("ab",)
    )
    both = Authorization(world, world.endpoints["default/server"])
    assert both.revoked == {"ab"}
    assert both.revoked_identities == {"spiffe://t.example/ns/default/sa/x"}
    assert both.decide(flow(80, identity=identity("customer")), ALLOWED) == Leaf(allow=True, rules=ALLOWED)
    refused = both.decide(flow(80, identity="spiffe://t.example/ns/default/sa/x"), ALLOWED)
    assert refused == Leaf(allow=False, rules=("_mesh/revoked",))
