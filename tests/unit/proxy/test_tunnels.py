from __future__ import annotations

from typing import Any

import pytest
from tests.support.pki import Clock
from tests.unit.proxy.test_connections import event

from tsujiban.proxy import names
from tsujiban.proxy.tunnels import FORGET_SECONDS, Tunnels, refusal

WEB = "spiffe://t.example/ns/default/sa/web"
NEAR, FAR = ("10.0.0.2", 40000), ("10.0.0.1", 80)


def tunnel(**changes: Any) -> Any:
    fields = {"log": names.TUNNEL_LOG, "near": NEAR, "far": FAR, "peer": WEB, "serial": "ab"}
    return event(**{**fields, **changes})


def test_a_connection_ends_when_what_its_server_has_shown_is_revoked() -> None:
    tunnels = Tunnels()
    tunnels.note(tunnel())
    tunnels.note(tunnel(source_port=40001))  # another tunnel on it
    tunnels.note(tunnel(near=("10.0.0.2", 40002), serial="cd"))
    assert tunnels.denied({"ef"}) == {}
    ((one, rules),) = tunnels.denied({"ab"}).items()
    assert rules == (names.REVOKED_RULE,)
    assert (one.near, one.far, one.peer, one.serial) == (NEAR, FAR, WEB, "ab")
    assert (one.destination, one.destination_port) == FAR
    assert tunnels.forget(one)
    assert not tunnels.forget(one)
    assert tunnels.denied({"ab"}) == {}


def test_what_nothing_is_said_of_any_more_is_forgotten() -> None:
    clock = Clock(0.0)
    tunnels = Tunnels(clock)
    tunnels.note(tunnel())
    tunnels.note(tunnel(near=("10.0.0.2", 40001)))
    clock.now = FORGET_SECONDS
    tunnels.note(tunnel())
    clock.now += 1
    tunnels.note(tunnel(near=("10.0.0.2", 40003)))
    assert {one.near[1] for one in tunnels.denied({"ab"})} == {40000, 40003}


@pytest.mark.parametrize(
    ("peer", "serial", "expected"),
    [(WEB, "ab", (names.REVOKED_RULE,)), ("", "cd", (names.IDENTITY_RULE,)), (WEB, "cd", None)],
)
def test_who_may_not_be_spoken_to(peer: str, serial: str, expected: tuple[str, ...] | None) -> None:
    tunnels = Tunnels()
    connection = tunnels.note(tunnel(peer=peer, serial=serial))
    assert refusal(connection, frozenset({"ab"})) == expected
    assert tunnels.denied({"ab"}) == ({} if expected is None else {connection: expected})
    rules = expected if not peer else (names.REVOKED_RULE,)
    assert tunnels.denied({"ab"}, frozenset({WEB})) == {connection: rules}
