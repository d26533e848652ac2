from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.policy.addresses import contains, span
from tsujiban.proxy.division import Division, divide, minimal

HALVES = ("10.0.0.0/31", "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::2", "fd00::3", "fd00::2/127")
WIDE = (
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "10.0.0.0/8",
    "10.0.0.0/24",
    "10.0.0.2/31",
    "::/0",
    "fd00::/8",
)
ADDRESSES = ("10.0.0.0", "10.0.0.1", "10.0.0.3", "10.1.0.0", "192.0.2.1", "fd00::2", "fd00::3", "fe00::1")
said = st.dictionaries(st.sampled_from(HALVES + WIDE), st.integers(0, 2))


def longest(found: dict[str, int], rest: dict[int, int], address: str) -> int:
    around = [net for net in found if contains(net, address)]
    best = min(around, key=lambda net: span(net)[2] - span(net)[1], default=None)
    return found[best] if best is not None else rest[span(address)[0]]


@given(said)
def test_fewer_networks_say_the_same_of_every_address(ranges: dict[str, int]) -> None:
    default = {4: 0, 6: 1}
    fewer = minimal(ranges, default)
    for address in ADDRESSES:
        assert longest(fewer, default, address) == longest(ranges, default, address)
    assert len(fewer) <= len(ranges)
    assert minimal(fewer, default) == fewer


def test_neighbours_that_say_the_same_are_one_network() -> None:
    hosts = {f"10.0.0.{number}": "a" for number in range(256)}
    assert minimal(hosts, {4: "b"}) == {"10.0.0.0/24": "a"}
    assert minimal(hosts | {"10.0.0.0/24": "c"}, {4: "b"}) == {"10.0.0.0/24": "a"}
    assert minimal(hosts, {4: "a"}) == {}
    assert minimal({"10.0.0.1": "a", "10.0.0.2": "a"}, {}) == {"10.0.0.1": "a", "10.0.0.2": "a"}
    assert minimal({"10.0.0.0": "a", "10.0.0.1": "b"}, {}) == {"10.0.0.0": "a", "10.0.0.1": "b"}


@given(said)
def test_a_division_says_of_every_address_what_was_said(ranges: dict[str, int]) -> None:
    default = {4: 0, 6: 1}
    found: Division[int] = divide(ranges, default, lambda value: value)
    assert len({value for _, value in found.groups}) == len(found.groups)
    listed = {
        f"{net['address_prefix']}/{net['prefix_len']}": value for nets, value in found.groups for net in nets
    }
    for address in ADDRESSES:
        assert longest(listed, found.rest, address) == longest(ranges, default, address)


def test_what_is_said_of_all_the_world_is_no_network() -> None:
    found = divide({"0.0.0.0/0": "a", "10.0.0.1": "b", "192.0.2.1": "a"}, {4: "c", 6: "c"}, lambda one: one)
    assert found.rest == {4: "a", 6: "c"}
    assert [[net["address_prefix"] for net in nets] for nets, _ in found.groups] == [["10.0.0.1"]]
