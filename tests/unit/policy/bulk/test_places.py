from __future__ import annotations

import pytest

from tsujiban.policy.bulk.places import Place, Places
from tsujiban.policy.program import AddressSet, Member, NodeState, Side
from tsujiban.policy.world import World

ALICE, BOB = "spiffe://t/ns/x/sa/alice", "spiffe://t/ns/x/sa/bob"
SETS = {
    "hosts": [("10.0.0.1", ALICE), ("10.0.0.2", ""), ("fd00::1", ALICE)],
    "also": [("10.0.0.1", ALICE), ("10.0.0.3", BOB)],
    "mixed": [("10.0.0.3", ALICE), ("192.0.2.0/24", "")],
    "owned": [("198.51.100.0/24", ALICE)],
}


def places() -> Places:
    sets = {
        name: AddressSet(id=name, members=frozenset(Member(net=net, identity=who) for net, who in members))
        for name, members in SETS.items()
    }
    return Places(World(NodeState(sets=sets)))


def place(where: Places, address: str) -> Place:
    return Place(address, where.sets(address), where.owner(address))


def test_an_address_is_in_the_sets_of_hosts_that_hold_it() -> None:
    where = places()
    hosts, also = where.need(Side(sets=("hosts",))), where.need(Side(sets=("also",)))
    assert where.sets("10.0.0.1") == {hosts, also}
    assert where.sets("10.0.0.2") == {hosts}
    assert where.sets("fd00:0::1") == {hosts}, "however it is written"
    assert where.sets("10.0.0.9") == frozenset()


def test_addresses_in_the_same_sets_share_them() -> None:
    where = places()
    assert where.sets("10.0.0.2") is where.sets("fd00::1")


@pytest.mark.parametrize(
    ("address", "owner"),
    [("10.0.0.1", ALICE), ("10.0.0.2", ""), ("10.0.0.3", None), ("10.0.0.9", ""), ("192.0.2.1", "")],
)
def test_an_address_has_one_owner_or_none_or_several(address: str, owner: str | None) -> None:
    assert places().owner(address) == owner


def test_asking_nothing_needs_nothing() -> None:
    assert places().need(Side()) is None


@pytest.mark.parametrize(
    ("side", "holding"),
    [
        (Side(sets=("mixed",)), {"10.0.0.3", "192.0.2.1"}),
        (Side(sets=("hosts", "also")), {"10.0.0.1"}),
        (Side(not_sets=("hosts",)), {"10.0.0.3", "192.0.2.1"}),
        (Side(nets=("10.0.0.0/30",), not_nets=("10.0.0.2/32",)), {"10.0.0.1", "10.0.0.3"}),
        (Side(nets=()), set()),
    ],
)
def test_more_than_one_set_is_a_condition(side: Side, holding: set[str]) -> None:
    where = places()
    number = where.need(side)
    assert number is not None
    assert number < 0
    assert where.need(side) == number
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1"):
        found = place(where, address)
        assert where.holds(number, found) == (address in holding)
        assert found.held == {number: address in holding}, "and is remembered"


@pytest.mark.parametrize("name", ["nowhere", "owned"])
def test_what_only_the_definition_can_say_is_refused(name: str) -> None:
    """A set that is missing counts in the closing direction; a network that somebody owns is
    another set to the proxy than to the kernel."""
    for side in (Side(sets=(name,)), Side(not_sets=(name,))):
        with pytest.raises(LookupError):
            places().need(side)
