"""Tokens of end users: verified by the real proxy, and what a policy may ask of them."""

from __future__ import annotations

import dataclasses
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import msgspec
import pytest
from tests.support.jwts import Issuer
from tests.support.meshapps import ask, echo_http, web_client
from tests.support.proxybed import Bed, until

from tsujiban.policy.program import (
    AuthzAction,
    AuthzCondition,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    JwtRule,
    StringMatch,
)
from tsujiban.proxy.accesslog import ProxyEvent

pytestmark = pytest.mark.system
REFUSED = "default/ra:web/0"
OTHER = "default/ra:web/1"


@dataclasses.dataclass
class World:
    """A web server behind two RequestAuthentication rules, its customer, and two issuers."""

    bed: Bed
    idp: Issuer
    other: Issuer
    asked: int = 0

    def get(self, path: str = "/", **headers: str) -> int:
        """Status of one GET."""
        bed = self.bed
        self.asked += 1
        path += f"{'&' if '?' in path else '?'}asked={self.asked}"
        connection = web_client(bed.pods["customer"], bed.pods["web"].address, 80)
        return ask(connection, "GET", path, headers=headers)[0]

    def bearer(self, **claims: Any) -> int:
        """Status of one GET with a token of the first issuer."""
        return self.get(Authorization=f"Bearer {self.idp.token(**claims)}")

    def refusal(self) -> tuple[str, ...]:
        """The rules behind the refusal of the last request."""

        def last() -> ProxyEvent | None:
            mark = f"asked={self.asked}"
            return next((one for one in self.bed.events if one.path.endswith(mark)), None)

        found = until("the record", last)
        assert found is not None
        assert found.verdict == "deny"
        return found.rules

    def policy(self, *rules: AuthzRule, action: AuthzAction = AuthzAction.ALLOW) -> None:
        """One AuthorizationPolicy for the web server."""
        program = AuthzProgram(id="default/authz:web", action=action, rules=rules)
        assert self.bed.update(authorizations={program.id: program}) == ()


@pytest.fixture(scope="module")
def shared(shared_bed: Bed) -> World:
    idp, other = Issuer("https://idp.example"), Issuer("other")
    rules = (
        JwtRule(
            issuer=idp.name,
            id=REFUSED,
            audiences=("bank",),
            jwks=idp.jwks,
            claims_to_headers=(("x-sub", "sub"),),
        ),
        JwtRule(issuer=other.name, id=OTHER, jwks=other.jwks, from_headers=(("x-other", "T "),)),
    )
    web = shared_bed.pod("web", jwt=rules, authorization=("default/authz:web",))
    web.listen(80, echo_http)
    shared_bed.pod("customer")
    world = World(shared_bed, idp, other)
    world.policy(AuthzRule(id="default/authz:web/0"))
    shared_bed.settle()
    return world


@pytest.fixture
def world(shared: World) -> World:
    shared.policy(AuthzRule(id="default/authz:web/0"))
    return shared


def test_a_good_token_and_none_pass(world: World) -> None:
    assert world.bearer(aud="bank", sub="alice") == 200
    assert world.bearer(aud=["x", "bank"], sub="alice") == 200
    assert world.get() == 200
    assert world.get(Authorization="Basic YTpi") == 200
    assert world.get(**{"x-other": "T " + world.other.token()}) == 200


def test_a_good_token_hides_no_second_one(world: World) -> None:
    """The proxy verifies a token; the application might read the other."""
    good, forged = (f"Bearer {one.token(aud='bank')}" for one in (world.idp, Issuer(world.idp.name)))
    for both in ((good, forged), (forged, good), (good, good), ("Basic YTpi", forged)):
        client = web_client(world.bed.pods["customer"], world.bed.pods["web"].address, 80)
        client.putrequest("GET", "/")
        for one in both:
            client.putheader("Authorization", one)
        client.endheaders()
        assert client.getresponse().status in {401, 403}


def test_no_client_says_itself_what_the_proxy_would_have_told_of_its_token(world: World) -> None:
    """Its own X-Sub is taken away; to an application behind CGI or WSGI, X_Sub would be the same."""
    assert world.get(**{"X-Sub": "admin"}) == 200
    assert world.get(X_Sub="admin") == 403


UNVERIFIED = [
    ({"aud": "shop"}, 403),
    ({"aud": "bank", "exp": 1000}, 401),
    ({"aud": "bank", "nbf": 2**33}, 401),
]


@pytest.mark.parametrize(("claims", "status"), UNVERIFIED)
def test_what_a_rule_does_not_verify_is_refused_in_its_name(
    world: World, claims: dict[str, Any], status: int
) -> None:
    assert world.bearer(**claims) == status
    assert world.refusal() == (REFUSED,)


def test_a_forged_token_is_refused_wherever_it_stands(world: World) -> None:
    forged = Issuer(world.idp.name).token(aud="bank", sub="alice")
    good = world.idp.token(aud="bank", sub="alice")
    assert world.get(Authorization=f"Bearer {forged}") == 401
    assert world.refusal() == (REFUSED,)
    assert world.get(f"/?access_token={forged}") == 401
    assert world.get(f"/?access_token={forged}", Authorization=f"Bearer {good}") == 401
    assert world.get(**{"x-other": f"T {Issuer('other').token()}"}, Authorization=f"Bearer {good}") == 401
    assert world.get(Authorization="Bearer rubbish") == 401
    unsigned = good.rpartition(".")[0] + "."
    assert world.get(Authorization=f"Bearer {unsigned}") == 401


def test_a_token_of_an_unknown_issuer_is_refused_in_the_first_rule_s_name(world: World) -> None:
    assert world.get(Authorization=f"Bearer {Issuer('nobody').token()}") == 401
    assert world.refusal() == (REFUSED,)


def test_the_second_rule_refuses_in_its_own_name(world: World) -> None:
    assert world.get(**{"x-other": f"T {Issuer('other').token()}"}) == 401
    assert world.refusal() == (OTHER,)


def test_a_token_where_no_rule_looks_is_none(world: World) -> None:
    good = world.idp.token(aud="bank", sub="alice")
    world.policy(AuthzRule(id="z/0", sources=(AuthzSource(request_principals=(StringMatch(present=True),)),)))
    assert world.get(**{"x-token": good}) == 403
    assert world.refusal() == ("_authz/no-allow",)


def test_the_application_is_told_claims_and_no_client_forges_them(world: World) -> None:
    bed = world.bed
    seen: list[bytes] = []

    def show(connection: Any) -> None:
        seen.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    bed.pods["web"].listen(81, show)
    customer, web = bed.pods["customer"], bed.pods["web"]
    token = world.idp.token(aud="bank", sub="alice")
    headers = {"X-Sub": "mallory", "Authorization": f"Bearer {token}"}
    assert ask(web_client(customer, web.address, 81), "GET", "/", headers=headers)[0] == 200
    assert b"alice" in seen[0]
    assert b"mallory" not in seen[0]
    assert token.encode() not in seen[0]  # forwardOriginalToken is not set


PRINCIPALS = [
    (StringMatch(exact="https://idp.example/alice"), True),
    (StringMatch(exact="https://idp.example/bob"), False),
    (StringMatch(exact="other/alice"), False),
    (StringMatch(prefix="https://idp.example/a"), True),
    (StringMatch(prefix="https://idp"), False),  # the last slash parts issuer and subject
    (StringMatch(suffix="/alice"), True),
    (StringMatch(suffix="example/alice"), True),
    (StringMatch(suffix="bob"), False),
    (StringMatch(present=True), True),
]


@pytest.mark.parametrize(("value", "allowed"), PRINCIPALS)
def test_request_principals(world: World, value: StringMatch, allowed: bool) -> None:
    world.policy(AuthzRule(id="z/0", sources=(AuthzSource(request_principals=(value,)),)))
    assert world.bearer(aud="bank", sub="alice") == (200 if allowed else 403)
    assert world.get() == 403


CLAIMS = [
    ("request.auth.claims[group]", "ops", True),
    ("request.auth.claims[group]", "dev", True),
    ("request.auth.claims[group]", "none", False),
    ("request.auth.claims[realm][roles]", "reader", True),
    ("request.auth.claims[realm][missing]", "reader", False),
    ("request.auth.claims[level]", "7", False),  # a number is no string
    ("request.auth.audiences", "bank", True),
    ("request.auth.presenter", "app", True),
    ("request.auth.principal", "https://idp.example/alice", True),
]


@pytest.mark.parametrize(("key", "value", "allowed"), CLAIMS)
def test_claims(world: World, key: str, value: str, allowed: bool) -> None:
    condition = AuthzCondition(key=key, values=(StringMatch(exact=value),))
    world.policy(AuthzRule(id="z/0", conditions=(condition,)))
    claims = {"group": ["ops", "dev"], "realm": {"roles": "reader"}, "level": 7, "azp": "app"}
    assert world.bearer(aud="bank", sub="alice", **claims) == (200 if allowed else 403)
    assert world.get() == 403


def test_a_denial_of_everybody_without_a_principal(world: World) -> None:
    anybody = AuthzSource(not_request_principals=(StringMatch(present=True),))
    world.policy(AuthzRule(id="z/deny", sources=(anybody,)), action=AuthzAction.DENY)
    assert world.get() == 403
    assert world.refusal() == ("z/deny",)
    assert world.bearer(aud="bank", sub="alice") == 200


class _Keys(BaseHTTPRequestHandler):
    jwks = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.jwks)))
        self.end_headers()
        self.wfile.write(self.jwks)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def test_keys_are_fetched_and_until_they_are_there_a_token_is_refused(world: World) -> None:
    bed = world.bed
    web = bed.state.endpoints["default/web"]
    fetched = JwtRule(issuer="remote", id="default/ra:remote/0", jwks_uri="http://192.0.2.1:8000/keys")
    issuer = Issuer("remote")
    assert bed.update(endpoints={web.id: msgspec.structs.replace(web, jwt=(fetched,))}) == ()
    try:
        token = issuer.token(sub="carol")
        assert world.get() == 200
        assert world.get(Authorization=f"Bearer {token}") == 401
        assert world.refusal() == ("default/ra:remote/0",)
        _Keys.jwks = issuer.jwks.encode()
        server = bed.outside(lambda: HTTPServer(("192.0.2.1", 8000), _Keys))
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            assert world.get(Authorization=f"Bearer {token}") == 200
        finally:
            server.shutdown()
            server.server_close()
    finally:
        bed.update(endpoints={web.id: web})


def test_a_token_that_must_be_there_is_taken_when_it_is(world: World) -> None:
    """Beside a rule that looks in the same place: Envoy asks for the token twice, and it is there twice."""
    bed = world.bed
    web = bed.state.endpoints["default/web"]
    must = JwtRule(issuer=world.idp.name, id="default/ra:must/0", jwks=world.idp.jwks, required=True)
    anybody = JwtRule(issuer="", id="default/ra:any/0", jwks=world.idp.jwks)
    try:
        for rules in ((must,), (anybody, must)):
            assert bed.update(endpoints={web.id: msgspec.structs.replace(web, jwt=rules)}) == ()
            assert world.bearer(sub="alice") == 200
            assert world.get() == 401
            assert world.refusal() == (must.id,)
            other = Issuer("other", like=world.idp).token()  # verified, and of another issuer
            assert world.get(Authorization=f"Bearer {other}") == 401
            assert world.refusal() == (must.id,)
    finally:
        bed.update(endpoints={web.id: web})
