from __future__ import annotations

import re
from typing import Any

import pytest
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2 as jwt_authn_pb2
from tests.support.jwts import Issuer

from tsujiban.policy.program import JwtRule, StringMatch
from tsujiban.proxy import names, tokens
from tsujiban.proxy.decisions import AllOf, AnyOf, Claim, Not, Settled, Text
from tsujiban.proxy.site import SIDECAR, NodeSite

URI = "https://idp.example/keys"
KEYS = Issuer("i").jwks
DEFAULT = JwtRule(issuer="i", id="default/ra:j/0", jwks="{}")


def config(*rules: JwtRule) -> Any:
    message: Any = tokens.resource(SIDECAR, rules).message()
    found = jwt_authn_pb2.JwtAuthentication()
    assert message.typed_config.Unpack(found)
    return found


def test_without_rules_nothing_is_asked() -> None:
    assert not config().rules
    assert tokens.carried(()) is False


def test_a_rule_verifies_what_it_says_and_keeps_the_claims() -> None:
    rule = JwtRule(
        issuer="i",
        audiences=("a",),
        jwks=KEYS,
        from_headers=(("x-jwt", "T "),),
        from_params=("p",),
        from_cookies=("c",),
        forward=True,
        claims_to_headers=(("x-sub", "sub"),),
        payload_header="x-payload",
    )
    provider = config(rule).providers["r0"]
    assert (provider.issuer, list(provider.audiences), provider.forward) == ("i", ["a"], True)
    assert provider.local_jwks.inline_string == KEYS
    assert [(one.name, one.value_prefix) for one in provider.from_headers] == [("x-jwt", "T ")]
    assert (list(provider.from_params), list(provider.from_cookies)) == (["p"], ["c"])
    assert provider.payload_in_metadata == names.CLAIMS
    assert [(one.header_name, one.claim_name) for one in provider.claim_to_headers] == [("x-sub", "sub")]
    assert provider.forward_payload_header == "x-payload"


def test_a_rule_without_keys_has_none_that_fits() -> None:
    for rule in (
        JwtRule(issuer="i"),
        JwtRule(issuer="i", jwks="{}"),
        JwtRule(issuer="i", jwks="{}", jwks_uri=URI),
    ):
        provider = config(rule).providers["r0"]
        assert provider.remote_jwks.http_uri.cluster == "none"
        assert tokens.key_clusters(SIDECAR, (rule,)) == []


def ways(requirement: Any) -> list[str]:
    *providers, last = requirement.requires_any.requirements
    assert last.HasField("allow_missing")
    return [one.provider_name for one in providers]


def test_rules_that_look_in_one_place_are_alternatives_and_others_all_have_their_say() -> None:
    assert ways(config(DEFAULT, DEFAULT).rules[0].requires) == ["r0", "r1"]
    header = JwtRule(issuer="i", from_headers=(("Authorization", "T "), ("x", "")))
    cookie = JwtRule(issuer="i", from_cookies=("c",))
    required = config(header, cookie, DEFAULT).rules[0].requires.requires_all.requirements
    assert [ways(one) for one in required] == [["r0", "r2"], ["r1"]]


@pytest.mark.parametrize(
    ("uri", "address", "port", "secure"),
    [
        ("https://idp.example/keys", "idp.example", 443, True),
        ("http://idp:8080/keys", "idp", 8080, False),
    ],
)
def test_keys_are_fetched_by_name_and_verified(uri: str, address: str, port: int, secure: bool) -> None:
    rule = JwtRule(issuer="i", jwks_uri=uri)
    remote = config(rule).providers["r0"].remote_jwks
    (cluster,) = tokens.key_clusters(SIDECAR, (rule, rule))
    assert remote.http_uri.cluster == cluster.name
    body: Any = cluster.message()
    where = body.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address
    assert (where.address, where.port_value) == (address, port)
    assert body.HasField("transport_socket") is secure


@pytest.mark.parametrize("uri", ["ftp://x/y", "https://", "https://x:port/", "keys"])
def test_keys_at_no_address_are_never_fetched(uri: str) -> None:
    assert tokens.key_clusters(SIDECAR, (JwtRule(issuer="i", jwks_uri=uri),)) == []


def text(test: Settled) -> str:
    assert isinstance(test, Text)
    return test.regex or ""


def test_tokens_are_looked_for_where_each_rule_says() -> None:
    rule = JwtRule(issuer="i", from_headers=(("X-Jwt", ""),), from_params=("t",), from_cookies=("c",))
    found = tokens.carried((rule,))
    assert isinstance(found, AnyOf)
    header, param, cookie = found.terms
    assert isinstance(header, Text)
    assert header.header == "x-jwt"
    assert re.fullmatch(text(param), "/a?x=1&t=abc")
    assert not re.fullmatch(text(param), "/t=abc")
    assert re.fullmatch(text(cookie), "a=b; c=abc")
    default = tokens.carried((DEFAULT,))
    assert isinstance(default, AnyOf)
    assert re.fullmatch(text(default.terms[0]), "bearer x")
    assert not re.fullmatch(text(default.terms[0]), "Basic x")


def test_a_token_that_no_issuer_verified_is_not_enough() -> None:
    found = tokens.unverified((DEFAULT,))
    assert isinstance(found, AllOf)
    assert found.terms[1] == Not(term=Claim(path=("iss",), exact="i", listed=False))


def part(claim: str, **match: str) -> Claim:
    return Claim(path=(claim,), listed=False, **match)  # type: ignore[arg-type]


ANY = "(?s).+"


@pytest.mark.parametrize(
    ("value", "who", "subject"),
    [
        (StringMatch(exact="i/x/s"), {"exact": "i/x"}, {"exact": "s"}),
        (StringMatch(prefix="i/s"), {"exact": "i"}, {"prefix": "s"}),
        (StringMatch(prefix="i/"), {"exact": "i"}, {"regex": ANY}),
        (StringMatch(prefix="i"), {"prefix": "i"}, {"regex": ANY}),
        (StringMatch(suffix="i/s"), {"suffix": "i"}, {"exact": "s"}),
        (StringMatch(suffix="/s"), {"regex": ANY}, {"exact": "s"}),
        (StringMatch(suffix="s"), {"regex": ANY}, {"suffix": "s"}),
        (StringMatch(present=True), {"regex": ANY}, {"regex": ANY}),
    ],
)
def test_a_principal_is_the_issuer_and_the_subject(
    value: StringMatch, who: dict[str, str], subject: dict[str, str]
) -> None:
    assert tokens.principal((value,)) == AllOf(terms=(part("iss", **who), part("sub", **subject)))


def test_a_token_that_must_be_there_is_asked_for_by_itself() -> None:
    must = JwtRule(issuer="i", required=True)
    required = config(DEFAULT, must).rules[0].requires.requires_all.requirements
    assert ways(required[0]) == ["r0", "r1"]
    assert [one.provider_name for one in required[1:]] == ["q1"]


def test_a_token_stays_until_all_that_must_see_it_have_seen_it() -> None:
    """Envoy takes a verified token out of the request, and looks for it anew for each requirement."""
    must = JwtRule(issuer="i", required=True)
    elsewhere = JwtRule(issuer="i", from_headers=(("x", ""),))
    found = config(DEFAULT, must, must, elsewhere).providers
    assert {name: found[name].forward for name in found} == {
        "r0": True,
        "r1": True,
        "r2": True,
        "r3": False,
        "q1": True,
        "q2": False,
    }


def test_words_of_a_claim_are_its_values_where_a_rule_of_the_issuer_says_so() -> None:
    value = (StringMatch(exact="a"),)
    plain, words = Claim(path=("c",), exact="a"), Claim(path=("c",), exact="a", words=True)
    theirs = part("iss", exact="i")
    rules = (JwtRule(issuer="i", space_delimited=("c",)), JwtRule(issuer="j"))
    assert tokens.claim(("c",), value, (DEFAULT,)) == plain
    assert tokens.claim(("c",), value, (JwtRule(issuer="", space_delimited=("c",)),)) == words
    assert tokens.claim(("scope",), value, (DEFAULT,)) == Claim(path=("scope",), exact="a", words=True)
    assert tokens.claim(("c",), value, rules) == AnyOf(
        terms=(AllOf(terms=(theirs, words)), AllOf(terms=(Not(term=theirs), plain)))
    )


def test_a_node_s_proxy_fetches_keys_from_within_the_pod() -> None:
    site = NodeSite(namespace="/run/netns/p")
    (cluster,) = tokens.key_clusters(site, (JwtRule(issuer="i", jwks_uri="http://idp/keys"),))
    assert cluster.name.startswith(site.name(""))
    body: Any = cluster.message()
    assert body.upstream_bind_config.source_address.network_namespace_filepath == "/run/netns/p"
