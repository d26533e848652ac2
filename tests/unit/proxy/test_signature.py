from __future__ import annotations

from tsujiban.policy.program import AddressSet, Member, ServiceMember, ServiceSet
from tsujiban.proxy.signature import Vocabulary


def vocabulary() -> Vocabulary:
    members = frozenset(
        {Member(net="10.0.0.2", identity="id:x"), Member(net="10.0.1.0/24"), Member(net="fd00::/8")}
    )
    services = frozenset(
        {
            ServiceMember(address="10.0.0.2", protocol=6, port=80),
            ServiceMember(address="10.0.0.2", protocol=17, port=53),
        }
    )
    return Vocabulary(
        ["10.0.0.0/8", "10.0.0.0/30", "0.0.0.0/0"],
        {"s": AddressSet(id="s", members=members)},
        {"n": ServiceSet(id="n", members=services)},
    )


def test_a_member_with_an_identity_is_owned_only_by_that_identity() -> None:
    words = vocabulary()
    assert words.signature("10.0.0.2", "id:x").owned == {"s"}
    for other in ("", "id:y"):
        one = words.signature("10.0.0.2", other)
        assert not one.owned
        assert one.seen == {"s"}


def test_all_networks_around_an_address_count() -> None:
    words = vocabulary()
    assert words.signature("10.0.0.2", "").nets == {"10.0.0.0/8", "10.0.0.0/30", "0.0.0.0/0"}
    assert words.signature("10.0.0.4", "").nets == {"10.0.0.0/8", "0.0.0.0/0"}
    assert words.signature("11.0.0.1", "").nets == {"0.0.0.0/0"}
    assert words.signature("10.0.1.9", "").owned == {"s"}
    assert words.signature("fd00::1", "").owned == {"s"}
    assert words.signature("fe00::1", "").nets == frozenset()


def test_a_network_listed_by_itself_is_inside_itself() -> None:
    assert "10.0.0.0/30" in vocabulary().signature("10.0.0.0/30", "").nets


def test_services_are_tcp_ports_of_the_very_address() -> None:
    assert vocabulary().signature("10.0.0.2", "").services == {("n", 80)}
    assert vocabulary().signature("10.0.0.0/30", "").services == frozenset()


def test_addresses_of_one_signature_share_a_cell() -> None:
    points = [("10.9.0.1", ""), ("10.9.0.2", ""), ("10.0.0.1", "")]
    cells = vocabulary().cells(points)
    assert [cell.prefixes for cell in cells] == [("10.0.0.1",), ("10.9.0.1", "10.9.0.2")]
    assert vocabulary().cells(reversed(points)) == cells


def test_the_prefixes_are_all_that_was_named() -> None:
    assert vocabulary().prefixes() == {
        "10.0.0.0/8",
        "10.0.0.0/30",
        "0.0.0.0/0",
        "10.0.0.2",
        "10.0.1.0/24",
        "fd00::/8",
    }
