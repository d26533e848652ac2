"""Whatever happens in whatever order: an address has one owner, and it is in a block of its node."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.network.ipam import Ipam, IpamError, Pool

POOLS = [Pool(cidr="10.0.0.0/28", block_size=30), Pool(cidr="10.0.1.0/29", block_size=31)]
OWNERS = st.sampled_from([f"pod-{number}" for number in range(12)])
NODES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("allocate"), OWNERS, NODES),
        st.tuples(st.just("release"), OWNERS, NODES),
        st.tuples(st.just("release_node"), OWNERS, NODES),
    ),
    max_size=60,
)


@given(STEPS)
def test_one_owner_for_each_address(steps: list[tuple[str, str, str]]) -> None:
    ipam = Ipam(POOLS)
    held: dict[str, tuple[str, str]] = {}  # owner -> (address, node)
    for step, owner, node in steps:
        if step == "release":
            ipam.release(owner)
            held.pop(owner, None)
        elif step == "release_node":
            ipam.release_node(node)
            held = {name: place for name, place in held.items() if place[1] != node}
        else:
            try:
                address = ipam.allocate(owner, node)
            except IpamError:
                assert owner not in held
                continue
            if owner in held:
                assert address == held[owner][0]
            else:
                held[owner] = (address, node)
        assert len({address for address, _ in held.values()}) == len(held)
        for name, (address, place) in held.items():
            assert ipam.owner(address) == name
            blocks = [ipaddress.ip_network(block) for block in ipam.blocks(place)]
            assert any(ipaddress.ip_address(address) in block for block in blocks)


@given(STEPS)
def test_the_state_can_be_rebuilt_from_claims(steps: list[tuple[str, str, str]]) -> None:
    ipam = Ipam(POOLS)
    for step, owner, node in steps:
        if step == "release":
            ipam.release(owner)
        elif step == "allocate":
            try:
                ipam.allocate(owner, node)
            except IpamError:
                continue
    again = Ipam(POOLS)
    for node in ("a", "b", "c"):
        for block in ipam.blocks(node):
            again.claim_block(node, block)
    owners = [f"pod-{number}" for number in range(12)]
    for owner in reversed(owners):
        for address in ipam.addresses(owner):
            again.claim(owner, address)
    assert {owner: again.addresses(owner) for owner in owners} == {
        owner: ipam.addresses(owner) for owner in owners
    }
