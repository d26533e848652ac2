from __future__ import annotations

import pytest
from tests.support.apibed import ApiBed

from tsujiban.controller.api import places
from tsujiban.controller.api.errors import TooManyConnections
from tsujiban.controller.api.places import Places, address_of
from tsujiban.controller.api.users import User

ANN, BOB = User("ann", ("staff",)), User("bob", ("staff",))
ADMIN = User("admin", ("system:masters",))
NODE = User("system:node:one", ("system:nodes",))
SMALL = {"MAX_UNPROVEN": 5, "MAX_PER_ADDRESS": 3, "MAX_PER_USER": 2, "MAX_CONNECTIONS": 6, "RESERVED": 2}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        monkeypatch.setattr(places, name, value)


def filled(*users: User) -> Places:
    found = Places()
    for number, user in enumerate(users):
        found.enter(number, "a")
        found.claim(number, user)
    return found


def test_an_address_that_shows_nothing_has_its_share() -> None:
    found = Places()
    for connection in "123":
        assert found.has_room("a")
        found.enter(connection, "a")
    assert not found.has_room("a")
    for connection in "45":
        assert found.has_room("b")
        found.enter(connection, "b")
    assert not found.has_room("c")  # all addresses together
    found.leave("4")
    assert found.has_room("c")
    found.claim("1", ANN)
    assert found.has_room("a")  # what is proven is not held against it
    assert (len(found), found.unproven) == (4, 3)


def test_a_user_has_so_many_and_no_more() -> None:
    found = filled(ANN, ANN)
    found.enter("next", "a")
    with pytest.raises(TooManyConnections, match="'ann' has 2 connections"):
        found.claim("next", ANN)
    found.claim("next", BOB)
    found.claim("next", BOB)  # with every request
    found.leave(0)
    found.enter("another", "a")
    found.claim("another", ANN)
    assert (len(found), found.unproven) == (3, 0)


def test_administrators_and_nodes_find_a_place_when_all_are_taken() -> None:
    found = filled(ANN, ANN, BOB, BOB, NODE, NODE)
    found.enter("next", "a")
    with pytest.raises(TooManyConnections, match="too many connections"):
        found.claim("next", User("carl"))
    found.claim("next", ADMIN)
    assert found.has_room("a")
    found.enter("last", "a")
    found.claim("last", User("system:node:two", ("system:nodes",)))
    assert not found.has_room("a")


def test_administrators_are_not_counted_out() -> None:
    assert len(filled(ADMIN, ADMIN, ADMIN)) == 3


def test_a_connection_may_change_its_user() -> None:
    found = filled(ANN)
    found.claim(0, BOB)
    found.enter("next", "a")
    found.claim("next", ANN)
    for connection in (0, "next", "next"):
        found.leave(connection)
    assert (len(found), found.unproven) == (0, 0)
    found.claim("gone", ANN)
    assert len(found) == 0


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        (("192.0.2.1", 1), "192.0.2.1"),
        (("::ffff:192.0.2.1", 1, 0, 0), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 1, 0, 0), "2001:db8:1:2::"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::"),
        ("", ""),
    ],
)
def test_whom_a_connection_counts_for(address: object, peer: str) -> None:
    assert address_of(address) == peer


@pytest.mark.anyio
async def test_who_has_too_many_is_told_and_the_connection_closed(bed: ApiBed) -> None:
    ann = bed.user("ann", "staff")
    async with bed.client(ann) as one, bed.client(ann) as two, bed.client(ann) as three:
        for client in (one, two):
            assert (await client.get("/version")).status_code == 200
        answer = await three.get("/version")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert answer.headers["connection"] == "close"
        assert answer.json()["reason"] == "TooManyRequests"
        async with bed.client(bed.user("bob", "staff")) as bob, bed.client(bed.user()) as admin:
            assert [(await client.get("/version")).status_code for client in (bob, admin)] == [200, 200]


@pytest.mark.anyio
async def test_when_it_is_full_administrators_get_in(bed: ApiBed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MAX_CONNECTIONS", 1)
    async with bed.client(bed.user("ann", "staff")) as ann, bed.client(bed.user("bob", "staff")) as bob:
        assert (await ann.get("/version")).status_code == 200
        answer = await bob.get("/version")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert (answer.json()["kind"], answer.json()["reason"]) == ("Status", "TooManyRequests")
        async with bed.client(bed.user()) as admin:
            assert (await admin.get("/version")).status_code == 200
