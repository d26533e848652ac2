import pytest

from tsujiban.kernel import elements
from tsujiban.kernel.elements import (
    AddressElements,
    ServiceElements,
    canonical,
    merged,
    network_elements,
    number_elements,
)
from tsujiban.policy.program import (
    AddressSet,
    Member,
    NodeDelta,
    NodeState,
    ServiceMember,
    ServiceSet,
    SetChange,
)
from tsujiban.policy.versions import Versioned, difference


def addresses(*nets: str) -> AddressSet:
    return AddressSet(id="x", members=frozenset(Member(net=net) for net in nets))


def test_ranges_are_merged_when_they_overlap_or_touch() -> None:
    assert merged([(5, 9), (1, 2), (3, 3), (8, 12), (20, 30), (22, 23)]) == [(1, 3), (5, 12), (20, 30)]


def test_elements_of_intervals() -> None:
    assert list(number_elements([(80, 80), (443, 500)])) == ["80", "443-500"]
    nets = ("10.0.0.0/25", "10.0.0.128/25", "10.9.0.1", "fd00::/127")
    assert list(network_elements(nets, 4)) == ["10.0.0.0-10.0.0.255", "10.9.0.1"]
    assert list(network_elements(nets, 6)) == ["fd00::-fd00::1"]


def test_addresses_have_one_form() -> None:
    assert canonical("10.0.0.1/32") == "10.0.0.1"
    assert canonical("10.0.0.1/8") == "10.0.0.0/8"
    assert canonical("FD00:0::1") == "fd00::1"


def test_a_set_of_hosts_becomes_an_interval_set_with_its_first_network() -> None:
    made = AddressElements()
    made.update(addresses("10.0.0.1", "fd00::1"))
    assert (made.interval, made.elements(4), made.elements(6)) == (False, {"10.0.0.1": ""}, {"fd00::1": ""})
    made.update(addresses("10.0.0.1", "fd00::1", "10.0.0.0/30"))
    assert (made.interval, made.elements(4)) == (True, {"10.0.0.0-10.0.0.3": ""})
    made.update(addresses("10.0.0.1"))
    assert (made.interval, made.elements(4), made.elements(6)) == (False, {"10.0.0.1": ""}, {})


def test_what_did_not_change_is_the_same_object() -> None:
    made = AddressElements()
    made.update(addresses("10.0.0.1", "fd00::1"))
    four, six = made.elements(4), made.elements(6)
    made.update(addresses("10.0.0.1", "fd00::2"))
    assert made.elements(4) is four
    assert made.elements(6) is not six


def test_an_address_stays_while_any_member_has_it() -> None:
    made = AddressElements()
    both = AddressSet(
        id="x", members=frozenset({Member(net="10.0.0.1", identity=i) for i in ("spiffe://a", "")})
    )
    made.update(both)
    made.update(AddressSet(id="x", members=frozenset({Member(net="10.0.0.1/32")})))
    assert made.elements(4) == {"10.0.0.1": ""}
    made.update(addresses())
    assert made.elements(4) == {}


def test_service_elements() -> None:
    made = ServiceElements()
    members = {
        ServiceMember(address="10.0.0.1/32", protocol=6, port=80),
        ServiceMember(address="fd00::1", protocol=17, port=53),
    }
    made.update(ServiceSet(id="x", members=frozenset(members)))
    assert made.elements(4) == {"10.0.0.1 . 6 . 80": ""}
    assert made.elements(6) == {"fd00::1 . 17 . 53": ""}


@pytest.mark.parametrize("extra", [(), ("11.0.0.0/8",)], ids=["hosts", "networks"])
def test_a_member_more_in_a_large_set_costs_that_member(
    monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]
) -> None:
    """Counted in addresses that are looked at and tables that are read or copied."""
    state = NodeState()
    many = [f"10.{number >> 8}.{number & 255}.1" for number in range(2000)]
    full = SetChange(full=True, added=addresses(*many, *extra).members)
    state.apply(NodeDelta(revision=1, sets={"x": full}))
    made = AddressElements()
    made.update(state.sets["x"])
    before = made.elements(4)
    looked_at: list[str] = []

    def noted(net: str) -> str:
        looked_at.append(net)
        return canonical(net)

    monkeypatch.setattr(elements, "canonical", noted)
    monkeypatch.setattr(Versioned, "_content", lambda _version: pytest.fail("a table was read"))
    change = SetChange(added=addresses("12.0.0.1").members)
    state.apply(NodeDelta(revision=2, sets={"x": change}))
    made.update(state.sets["x"])
    assert difference(before, made.elements(4)) == ({}, {"12.0.0.1": ""})
    assert looked_at == ["12.0.0.1"]
