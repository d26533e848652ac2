from __future__ import annotations

from typing import Any

from tests.support.proxystate import CUSTOMER, READS, SERVER, STRANGER, identity, port, rule, state

from tsujiban.policy.program import NodeState
from tsujiban.proxy import names
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.connections import Connection, Connections, ended, refusal
from tsujiban.proxy.reach import ingress
from tsujiban.proxy.table import Table


def event(**changes: Any) -> ProxyEvent:
    fields: dict[str, Any] = {
        "time_ns": 0,
        "endpoint": "default/server",
        "log": "tcp",
        "direction": "ingress",
        "verdict": "allow",
        "rules": ("r",),
        "source": CUSTOMER,
        "source_port": 40000,
        "destination": SERVER,
        "destination_port": 80,
        "peer": identity("customer"),
        "final": False,
        "near": (SERVER, 50000),
        "far": (SERVER, 80),
    }
    return ProxyEvent(**{**fields, **changes})


def table(world: NodeState) -> Table:
    return ingress(world, world.endpoints["default/server"])


def open_ones(connections: Connections) -> set[Connection]:
    return set(connections.denied(table(state(rule("no", dst=port(1))))))


def test_connections_that_share_a_tunnel_are_known_apart() -> None:
    connections = Connections()
    connections.note(event())
    connections.note(event(near=(SERVER, 50001)))
    connections.note(event(periodic=True))
    assert len(open_ones(connections)) == 2
    connections.note(event(final=True))
    (left,) = open_ones(connections)
    assert left.near == (SERVER, 50001)
    connections.note(event(near=(SERVER, 50001), final=True))
    assert open_ones(connections) == set()
    connections.note(event(final=True))
    assert open_ones(connections) == set()


def test_a_periodic_record_tells_a_new_agent_what_is_open() -> None:
    connections = Connections()
    connections.note(event(periodic=True))
    (one,) = open_ones(connections)
    connections.forget(one)
    assert open_ones(connections) == set()


def test_only_what_policy_denies_now_is_named_with_the_rule_that_does() -> None:
    connections = Connections()
    connections.note(event())
    connections.note(event(source=STRANGER, peer=identity("stranger")))
    assert connections.denied(table(state(rule("yes")))) == {}
    only = rule("r", http=READS)
    found = connections.denied(table(state(only)))
    assert set(found.values()) == {("_tier/default",)}
    assert len(found) == 2


def test_an_address_that_changed_hands_and_a_source_port_count() -> None:
    one = Connection(
        source=CUSTOMER,
        source_port=40000,
        destination=SERVER,
        destination_port=80,
        peer=identity("stranger"),
        near=(SERVER, 50000),
        far=(SERVER, 80),
    )
    assert refusal(table(state(rule("yes"))), one) == (names.IDENTITY_RULE,)
    by_port = table(state(rule("low", src=port(1, 1023))))
    mine = event()
    held = Connection(
        source=mine.source,
        source_port=1000,
        destination=mine.destination,
        destination_port=80,
        peer=mine.peer,
        near=mine.near,
        far=mine.far,
    )
    assert refusal(by_port, held) is None


def test_the_record_of_an_end_cites_the_rule() -> None:
    connections = Connections()
    connections.note(event())
    (one,) = open_ones(connections)
    record = ended("default/server", one, ("r",))
    assert (record.verdict, record.rules, record.source_port) == ("deny", ("r",), 40000)
