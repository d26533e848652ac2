from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.policy.addresses import contains, span
from tsujiban.policy.program import AddressSet, Member, ServiceMember, ServiceSet
from tsujiban.proxy.signature import Signature, Vocabulary, minimal

NETS = ("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.1", "10.0.0.2/31", "::/0", "fd00::/8", "fd00::1")
ADDRESSES = ("10.0.0.1", "10.0.0.3", "10.1.0.0", "192.0.2.1", "fd00::1", "fd00::2", "fe00::1")


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


@given(st.dictionaries(st.sampled_from(NETS), st.integers(0, 2)), st.sampled_from(ADDRESSES))
def test_what_says_nothing_new_is_left_out_and_every_address_keeps_its_value(
    ranges: dict[str, int], address: str
) -> None:
    default = {4: 0, 6: 1}

    def longest(found: dict[str, int]) -> int:
        around = [net for net in found if contains(net, address)]
        best = min(around, key=lambda net: span(net)[2] - span(net)[1], default=None)
        return found[best] if best is not None else default[span(address)[0]]

    fewer = minimal(ranges, default)
    assert longest(fewer) == longest(ranges)
    assert fewer.items() <= ranges.items()
    assert minimal(fewer, default) == fewer


def test_the_prefixes_are_all_that_was_named() -> None:
    assert vocabulary().prefixes() == {
        "10.0.0.0/8",
        "10.0.0.0/30",
        "0.0.0.0/0",
        "10.0.0.2",
        "10.0.1.0/24",
        "fd00::/8",
    }
