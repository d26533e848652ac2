"""A service gets a virtual address that nobody else has."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.reconcile.services import Assigner
from tsujiban.controller.world import virtual_addresses

CIDR = "10.96.0.0/29"
RESERVED = frozenset({"10.96.0.2"})


class Assigning:
    def __init__(self, kit: Any) -> None:
        self._kit, self._assigner = kit, Assigner(CIDR, RESERVED)

    def __call__(self, ref: Any) -> str | None:
        self._kit.carry_out(self._assigner.plan(self._kit.world, ref))
        address: str | None = self._kit.world.get(ref)["spec"].get("clusterIP")
        return address


@pytest.fixture
def assign(kit: Any) -> Assigning:
    return Assigning(kit)


def test_takes_the_first_free_address_and_skips_reserved_ones(kit: Any, assign: Assigning) -> None:
    assert assign(kit.service("a")) == "10.96.0.1"
    assert assign(kit.service("b")) == "10.96.0.3"


def test_keeps_what_was_asked_for(kit: Any, assign: Assigning) -> None:
    assert assign(kit.service("a", clusterIP="10.96.0.1")) == "10.96.0.1"
    assert assign(kit.service("b")) == "10.96.0.3"


def test_headless_and_external_services_get_none(kit: Any, assign: Assigning) -> None:
    headless = kit.service("h", clusterIP="None")
    assert assign(headless) == "None"
    assert virtual_addresses(kit.world.get(headless)) == []
    assert assign(kit.service("e", type="ExternalName")) is None


def test_an_exhausted_network_leaves_the_service_without(kit: Any, assign: Assigning) -> None:
    for index in range(5):
        assert assign(kit.service(f"s{index}")) is not None
    assert assign(kit.service("late")) is None


def test_an_address_that_became_free_is_given_again_last(kit: Any, assign: Assigning) -> None:
    first, second = kit.service("a"), kit.service("b")
    assert [assign(first), assign(second)] == ["10.96.0.1", "10.96.0.3"]
    kit.world.drop(first)
    assert [assign(kit.service(name)) for name in "cdef"] == [
        "10.96.0.4",
        "10.96.0.5",
        "10.96.0.6",
        "10.96.0.1",
    ]
