"""What each service adds, put together by differences; also where two claim the same."""

from __future__ import annotations

import pytest

from tsujiban.kernel.serviceparts import Part, Parts, is_of, part
from tsujiban.policy.program import Backend, ServicePort, ServiceProgram

NOBODY: frozenset[str] = frozenset()


def service(*backends: str, addresses: tuple[str, ...] = ("10.96.0.1",), port: int = 80) -> ServiceProgram:
    there = tuple(Backend(address=address, port=8080) for address in backends)
    return ServiceProgram(
        id="x/s", addresses=addresses, ports=(ServicePort(protocol=6, port=port, backends=there),)
    )


def test_a_part_is_of_one_ip_version() -> None:
    both = service("10.0.0.1", "fd00::1", addresses=("10.96.0.1", "fd96::1"))
    four, six = part(both, 4, NOBODY), part(both, 6, NOBODY)
    assert four.virtual == {"10.96.0.1"}
    assert four.backends == {"10.0.0.1"}
    assert six.slots == ({"fd96::1 . 6 . 80": "fd00::1 . 8080"},)
    assert [is_of(address, 6) for address in ("10.0.0.1", "::1")] == [False, True]


def test_without_ready_backends_a_port_is_refused() -> None:
    assert part(service(), 4, NOBODY) == Part(frozenset({"10.96.0.1"}), {"10.96.0.1 . 6 . 80": "goto refuse"})


def test_kept_addresses_are_left_alone() -> None:
    assert part(service("10.0.0.1"), 4, frozenset({"10.96.0.1"})) == Part(backends=frozenset({"10.0.0.1"}))


def test_an_address_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        part(service("nowhere"), 4, NOBODY)


def test_backends_come_and_go_with_their_slots() -> None:
    parts = Parts()
    parts.change({"s": part(service("10.0.0.1", "10.0.0.2"), 4, NOBODY)}, ["s"])
    assert len(parts.slots) == 2
    parts.change({"s": part(service("10.0.0.2"), 4, NOBODY)}, ["s"])
    assert parts.services == {"10.96.0.1 . 6 . 80": "goto pick1"}
    assert parts.slots == [{"10.96.0.1 . 6 . 80": "10.0.0.2 . 8080"}]
    assert dict(parts.backends) == {"10.0.0.2": 1}
    parts.change({"s": None}, [])
    assert (dict(parts.services), parts.slots, dict(parts.virtual)) == ({}, [], {})


def test_services_may_share_an_address_and_the_later_has_a_port_that_both_claim() -> None:
    parts = Parts()
    a, b = part(service("10.0.0.1", "10.0.0.2"), 4, NOBODY), part(service("10.0.0.3"), 4, NOBODY)
    other = part(service("10.0.0.4", port=81), 4, NOBODY)
    parts.change({"a": a, "b": b, "c": other}, ["a", "b", "c"])
    key = "10.96.0.1 . 6 . 80"
    assert (parts.services[key], parts.slots[0][key]) == ("goto pick1", "10.0.0.3 . 8080")
    parts.change({"b": None}, ["a", "c"])
    assert (parts.services[key], parts.slots[0][key]) == ("goto pick2", "10.0.0.1 . 8080")
    parts.change({"a": None}, ["c"])
    assert dict(parts.virtual) == {"10.96.0.1": ""}, "c has it still"
    assert key not in parts.services
