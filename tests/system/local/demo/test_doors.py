"""The demonstration's forged door, in a real table, beside an agent that puts the table right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.machine import unique_cluster

from tsujiban.local.demo import doors
from tsujiban.network import namespaces
from tsujiban.resources.names import node_namespace

pytestmark = pytest.mark.system

AT = {"spec": {"nodeName": "node-1"}}
LIKE, WHO = {"status": {"podIP": "10.244.0.2"}}, {"status": {"podIP": "10.244.0.3"}}
SETS = (
    "table inet tsujiban {\n"
    "set a { type ipv4_addr; elements = { 10.244.0.2 }; }\n"
    "set b { type ipv4_addr; }\n"
    "}"
)


@pytest.fixture
def cluster() -> Iterator[str]:
    name = unique_cluster()
    namespaces.create(node_namespace(name, "node-1"))
    try:
        doors.nft(node_namespace(name, "node-1"), SETS)
        yield name
    finally:
        namespaces.delete(node_namespace(name, "node-1"))


def test_who_is_forged_in_passes_where_the_other_does_until_it_is_closed(cluster: str) -> None:
    node = node_namespace(cluster, "node-1")
    with doors.opened(cluster, AT, LIKE, WHO) as door:
        assert doors.sets_with(node, "10.244.0.3") == ["a"]
        doors.nft(node, "delete", "element", "inet", "tsujiban", "a", "{", "10.244.0.3", "}")
        assert door.push() == ["a"]
    assert doors.elements(node, "a") == ["10.244.0.2"]
    assert doors.elements(node, "b") == []


def test_the_agent_may_take_it_out_between_the_look_and_the_hand(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = node_namespace(cluster, "node-1")
    door = doors.Door(cluster, AT, LIKE, WHO)
    door.push()
    look = doors.elements

    def late(namespace: str, name: str) -> list[Any]:
        found = look(namespace, name)
        if "10.244.0.3" in found:
            doors.nft(node, "delete", "element", "inet", "tsujiban", name, "{", "10.244.0.3", "}")
        return found

    monkeypatch.setattr(doors, "elements", late)
    door.close()
    assert look(node, "a") == ["10.244.0.2"]
