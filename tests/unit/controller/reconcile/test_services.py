"""A service gets a virtual address that nobody else has."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile import services

CIDR = "10.96.0.0/29"
RESERVED = frozenset({"10.96.0.2"})


def assign(kit: Any, ref: Any) -> str | None:
    kit.carry_out(services.plan(kit.world, ref, CIDR, RESERVED))
    address: str | None = kit.world.get(ref)["spec"].get("clusterIP")
    return address


def test_takes_the_first_free_address_and_skips_reserved_ones(kit: Any) -> None:
    assert assign(kit, kit.service("a")) == "10.96.0.1"
    assert assign(kit, kit.service("b")) == "10.96.0.3"


def test_keeps_what_was_asked_for(kit: Any) -> None:
    assert assign(kit, kit.service("a", clusterIP="10.96.0.1")) == "10.96.0.1"
    assert assign(kit, kit.service("b")) == "10.96.0.3"


def test_headless_and_external_services_get_none(kit: Any) -> None:
    headless = kit.service("h", clusterIP="None")
    assert services.plan(kit.world, headless, CIDR, RESERVED) == []
    assert services.addresses(kit.world.get(headless)) == []
    assert assign(kit, kit.service("e", type="ExternalName")) is None


def test_an_exhausted_network_leaves_the_service_without(kit: Any) -> None:
    for index in range(5):
        assert assign(kit, kit.service(f"s{index}")) is not None
    assert assign(kit, kit.service("late")) is None
