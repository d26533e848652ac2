from __future__ import annotations

from tsujiban.policy.addresses import span
from tsujiban.policy.program import AddressSet, Member, ServiceMember, ServiceSet
from tsujiban.proxy.signature import Signature, Vocabulary, inside


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


def test_addresses_that_no_clause_tells_apart_have_one_signature() -> None:
    words = vocabulary()
    assert words.signature("10.9.0.1", "id:x", stands_for="id:y") == words.signature("10.9.0.2", "id:y")
    assert words.signature("10.0.0.1", "") != words.signature("10.9.0.1", "")
    assert words.signature("0.0.0.1", "") == words.signature("255.255.255.255", "")
    assert Vocabulary([], {}, {}).signature("10.0.0.1", "") == Signature(version=4)


def test_of_a_network_only_what_holds_the_whole_of_it_counts() -> None:
    assert vocabulary().signature("10.0.0.0/29", "").nets == {"10.0.0.0/8", "0.0.0.0/0"}


def test_the_prefixes_are_all_that_was_named() -> None:
    assert vocabulary().prefixes() == {
        "10.0.0.0/8",
        "10.0.0.0/30",
        "0.0.0.0/0",
        "10.0.0.2",
        "10.0.1.0/24",
        "fd00::/8",
    }


def test_members_come_and_go_one_by_one() -> None:
    before = vocabulary()
    stay = Member(net="10.0.1.0/24")
    members = frozenset({stay, Member(net="10.0.0.2"), Member(net="198.51.100.0/25")})
    now, changed = before.with_members({"s": AddressSet(id="s", members=members)})
    assert changed == {span("10.0.0.2"), span("fd00::/8"), span("198.51.100.0/25")}
    assert now.signature("10.0.0.2", "").owned == {"s"}  # whoever is there
    assert now.signature("198.51.100.1", "").owned == {"s"}
    assert now.signature("fd00::1", "").seen == frozenset()
    assert now.signature("10.0.1.9", "").owned == {"s"}
    assert now.names("198.51.100.0/25")
    assert not now.names("fd00::/8")
    assert now.prefixes() == before.prefixes() - {"fd00::/8"} | {"198.51.100.0/25"}
    assert before.signature("fd00::1", "").seen == {"s"}  # what was made before is not touched
    assert not before.signature("10.0.0.2", "").owned
    again, _ = now.with_members({"s": vocabulary()._sets["s"]})
    assert again.prefixes() == before.prefixes()


def test_a_member_that_two_sets_have_goes_with_the_last_of_them() -> None:
    one = AddressSet(id="s", members=frozenset({Member(net="10.0.0.2")}))
    none = AddressSet(id="s")
    both = Vocabulary([], {"s": one, "t": one}, {})
    half, changed = both.with_members({"s": none, "t": one})
    assert changed == {span("10.0.0.2")}
    assert half.signature("10.0.0.2", "").seen == {"t"}
    neither, _ = half.with_members({"s": none, "t": none})
    assert neither.signature("10.0.0.2", "") == Signature(version=4)
    assert neither.prefixes() == set()


def test_what_lies_in_a_network_is_found() -> None:
    listed = ("10.0.0.0/8", "10.0.0.0/24", "10.0.0.7", "192.0.2.1", "fd00::1", "::/0")
    assert inside(listed, {span("10.0.0.0/16"), span("fd00::1")}) == {"10.0.0.0/24", "10.0.0.7", "fd00::1"}
    assert inside(listed, set()) == set()
