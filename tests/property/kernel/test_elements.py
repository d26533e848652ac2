"""Elements derived by differences are those derived from nothing."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.kernel.elements import AddressElements, merged, network_elements
from tsujiban.policy.program import AddressSet, Member

nets = st.one_of(
    st.integers(0, 7).map(lambda n: f"10.0.0.{n}"),
    st.tuples(st.integers(0, 7), st.integers(28, 32)).map(lambda pair: f"10.0.0.{pair[0]}/{pair[1]}"),
    st.integers(0, 7).map(lambda n: f"fd00::{n}"),
    st.tuples(st.integers(0, 7), st.integers(124, 128)).map(lambda pair: f"fd00::{pair[0]}/{pair[1]}"),
)
members = st.frozensets(
    st.builds(Member, net=nets, identity=st.sampled_from(("", "spiffe://a/b"))), max_size=6
)


@given(st.lists(members, min_size=1, max_size=6))
def test_any_history_ends_in_the_same_elements(history: list[frozenset[Member]]) -> None:
    changed, fresh = AddressElements(), AddressElements()
    for found in history:
        changed.update(AddressSet(id="x", members=found))
    fresh.update(AddressSet(id="x", members=history[-1]))
    assert changed.interval == fresh.interval
    for version in (4, 6):
        assert changed.elements(version) == fresh.elements(version)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)).map(lambda pair: (pair[0], pair[0] + pair[1])))
)
def test_merged_ranges_hold_the_same_numbers(ranges: list[tuple[int, int]]) -> None:
    found = merged(ranges)
    assert {n for a, b in found for n in range(a, b + 1)} == {n for a, b in ranges for n in range(a, b + 1)}
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(found))


@given(st.lists(nets, max_size=6), st.sampled_from((4, 6)))
def test_interval_elements_hold_exactly_the_networks(found: list[str], version: int) -> None:
    held = set()
    for element in network_elements(found, version):
        first, _, last = element.partition("-")
        held |= set(range(int(ip_address(first)), int(ip_address(last or first)) + 1))
    parsed = [ip_network(net, strict=False) for net in found]
    assert held == {int(address) for net in parsed if net.version == version for address in net}
