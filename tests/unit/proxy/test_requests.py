from __future__ import annotations

from typing import Any

import pytest
from tests.support.proxystate import CUSTOMER, READS, SERVER, STRANGER, identity, port, rule, state
from tests.unit.proxy import test_connections

from tsujiban.policy.program import (
    AuthzAction,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    Http,
    JwtRule,
    NodeState,
    PathMatch,
    StringMatch,
)
from tsujiban.proxy import names
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.connections import Connection, ended
from tsujiban.proxy.decisions import (
    AllOf,
    AnyOf,
    Branch,
    Claim,
    Leaf,
    Not,
    Predicate,
    SourcePort,
    Text,
    Unreadable,
)
from tsujiban.proxy.reach import ingress
from tsujiban.proxy.requests import (
    FORGET_SECONDS,
    LONGEST_PATH,
    TOKEN_GRACE_SECONDS,
    Requests,
    holds,
    possible,
)
from tsujiban.proxy.table import Table

YES, NO = Leaf(allow=True, rules=("yes",)), Leaf(allow=False, rules=("no",))


def event(**changes: Any) -> ProxyEvent:
    fields = {
        "log": names.REQUEST_LOG,
        "request_id": "one",
        "method": "GET",
        "path": "/v1/x?y",
        "host": "Shop.example",
        "serial": "abc",
    }
    return test_connections.event(**{**fields, **changes})


def table(world: NodeState) -> Table:
    return ingress(world, world.endpoints["default/server"])


READING, NOTHING = table(state(rule("r", http=READS))), table(state(rule("no", dst=port(1))))


def request(**changes: Any) -> Connection:
    return Requests().note(event(**changes), None)


def test_what_policy_denies_now_ends_with_the_rule_that_does() -> None:
    requests = Requests()
    one = requests.note(event(), READING)
    requests.note(event(request_id="two", source=STRANGER, peer=identity("stranger")), READING)
    assert requests.denied(READING) == {}
    other = table(state(rule("r", http=Http(methods=("GET",), paths=(PathMatch(prefix="/v2"),)))))
    assert requests.denied(other)[one] == ("_tier/default",)
    assert set(requests.denied(NOTHING).values()) == {("_tier/default",)}
    told = ended("default/server", one, ("r",))
    assert (told.method, told.path, told.request_id) == ("GET", "/v1/x?y", "one")


def test_what_was_opened_just_before_a_change_is_first_heard_of_after_it() -> None:
    requests = Requests()
    one = requests.note(event(), NOTHING)
    assert requests.denied(NOTHING) == {one: ("_tier/default",)}


def test_a_revoked_certificate_and_an_address_of_another_end_it() -> None:
    requests = Requests()
    one = requests.note(event(), READING)
    assert requests.denied(READING, frozenset({"abc"})) == {one: (names.REVOKED_RULE,)}
    two = requests.note(event(request_id="two", peer=identity("stranger")), READING)
    assert requests.denied(READING) == {two: (names.IDENTITY_RULE,)}


def test_in_http_1_it_is_the_socket_to_the_application_and_in_http_2_the_client_s_own() -> None:
    assert (request().near, request().far) == ((SERVER, 50000), (SERVER, 80))
    shared = request(shared=True)
    assert (shared.near, shared.far) == ((SERVER, names.INBOUND_PORT), (CUSTOMER, 40000))


def test_it_is_forgotten_when_it_ends_when_it_is_ended_and_when_nobody_speaks_of_it() -> None:
    now = 0.0
    requests = Requests(lambda: now)
    requests.note(event(), READING)
    requests.over("one")
    requests.over("one")
    assert requests.denied(NOTHING) == {}
    one = requests.note(event(), READING)
    assert requests.forget(one)
    assert not requests.forget(one)
    requests.put_back(one)
    assert set(requests.denied(NOTHING)) == {one}
    now = FORGET_SECONDS / 2
    requests.note(event(request_id="two"), READING)
    now = FORGET_SECONDS + 1
    requests.note(event(request_id="three"), READING)
    assert {one.request_id for one in requests.denied(NOTHING)} == {"two", "three"}


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (Text(header=":method", exact="GET"), True),
        (Text(header=":method", exact="POST"), False),
        (Text(header=":path", exact="/v1/x"), True),
        (Text(header=":path", prefix="/v2"), False),
        (Text(header=":path", suffix="/x"), True),
        (Text(header=":path", regex="/v[0-9]/.(\\?.*)?"), True),
        (Text(header=":path", regex="/v1"), False),
        (Text(header=":authority", exact="shop.example"), False),
        (Text(header=":authority", exact="shop.example", ignore_case=True), True),
        (Text(header="x-role", exact="guest"), None),
        (Claim(path=("sub",), exact="a"), None),
        (Unreadable(), None),
        (SourcePort(first=1, last=40000), True),
        (Not(term=Text(header=":method", exact="GET")), False),
        (Not(term=Unreadable()), None),
        (AllOf(terms=(Unreadable(), Text(header=":method", exact="POST"))), False),
        (AllOf(terms=(Unreadable(), Text(header=":method", exact="GET"))), None),
        (AnyOf(terms=(Unreadable(), Text(header=":method", exact="GET"))), True),
        (AnyOf(terms=(Unreadable(), Text(header=":method", exact="POST"))), None),
        (AllOf(terms=(SourcePort(first=1, last=50000), Text(header=":method", exact="GET"))), True),
    ],
)
def test_a_predicate_holds_does_not_or_cannot_be_told(test: Predicate, expected: bool | None) -> None:
    assert holds(test, request(), 0) is expected


def test_a_method_that_has_no_number_is_not_known() -> None:
    assert holds(Text(header=":method", exact="GET"), request(method=""), 0) is None


def test_a_request_whose_token_has_ended_has_none() -> None:
    whose = Claim(path=("sub",), exact="a")
    for expires, now, expected in (
        (1000, 1000 + TOKEN_GRACE_SECONDS, None),
        (1000, 1001 + TOKEN_GRACE_SECONDS, False),
        (0, 2**33, None),
    ):
        assert holds(whose, request(expires=expires), now) is expected
        assert holds(Not(term=whose), request(expires=expires), now) is (None if expected is None else True)


def test_what_goes_on_by_its_token_ends_with_it_and_what_needs_none_does_not() -> None:
    now = 1000.0
    requests = Requests(wall=lambda: now)
    alice = AuthzProgram(
        id="alice",
        action=AuthzAction.ALLOW,
        rules=(
            AuthzRule(id="alice/0", sources=(AuthzSource(request_principals=(StringMatch(exact="i/a"),)),)),
            AuthzRule(id="alice/1", operations=(AuthzOperation(paths=(StringMatch(exact="/free"),)),)),
        ),
    )
    world = state(rule("r"), authorization=("alice",), jwt=(JwtRule(issuer="i", id="ra", jwks="{}"),))
    world.authorizations["alice"] = alice
    judged = table(world)
    one = requests.note(event(expires=1000.0), judged)
    requests.note(event(request_id="two", path="/free", expires=1000.0), judged)
    requests.note(event(request_id="three"), judged)
    assert requests.denied(judged) == {}
    now += TOKEN_GRACE_SECONDS + 1
    assert requests.denied(judged) == {one: ("ra",)}
    assert ended("default/server", one, ()).detail.startswith("ended: its token")


def test_what_cannot_be_told_could_have_either_end() -> None:
    decision = Branch(test=Unreadable(), then=NO, otherwise=YES)
    assert list(possible(decision, request(), 0)) == [NO, YES]
    decision = Branch(test=Text(header=":method", exact="GET"), then=NO, otherwise=YES)
    assert list(possible(decision, request(), 0)) == [NO]


def test_a_path_that_would_take_long_to_read_is_not_read_and_dodges_no_change() -> None:
    requests, path = Requests(), "/v1" + ";" * 60_000 + "/x"
    one = requests.note(event(path=path), READING)
    assert requests.denied(READING) == {}
    exact = table(state(rule("r", http=Http(methods=("GET",), paths=(PathMatch(exact="/v1"),)))))
    assert requests.denied(exact) == {one: ("_tier/default",)}
    padded = requests.note(event(request_id="two", path="/v1/x?" + "y" * LONGEST_PATH), READING)
    assert padded in requests.denied(exact)
    assert padded not in requests.denied(READING)
