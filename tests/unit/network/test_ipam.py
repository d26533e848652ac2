import pytest

from tsujiban.network.ipam import Ipam, IpamError, Pool


def _ipam(*pools: Pool) -> Ipam:
    return Ipam(list(pools) or [Pool(cidr="10.244.0.0/16")])


def test_blocks_have_calicos_default_sizes() -> None:
    ipam = _ipam(Pool(cidr="10.244.0.0/16"), Pool(cidr="fd00::/48"))
    assert ipam.assign_block("a") == "10.244.0.0/26"
    assert ipam.assign_block("b") == "10.244.0.64/26"
    assert ipam.assign_block("a", version=6) == "fd00::/122"
    assert ipam.blocks("a") == ["10.244.0.0/26", "fd00::/122"]


def test_a_pool_smaller_than_a_block_is_one_block() -> None:
    ipam = _ipam(Pool(cidr="192.0.2.0/28"))
    assert ipam.assign_block("a") == "192.0.2.0/28"
    with pytest.raises(IpamError, match="no pool has a free IPv4 block"):
        ipam.assign_block("b")


@pytest.mark.parametrize(
    ("pools", "word"),
    [
        ([Pool(cidr="10.0.0.1/8")], "host bits"),
        ([Pool(cidr="10.0.0.0/8", block_size=4)], "blockSize"),
        ([Pool(cidr="10.0.0.0/8", block_size=33)], "blockSize"),
        ([Pool(cidr="10.0.0.0/8"), Pool(cidr="10.1.0.0/16")], "overlap"),
    ],
)
def test_bad_pools(pools: list[Pool], word: str) -> None:
    with pytest.raises(IpamError, match=word):
        Ipam(pools)


def test_a_disabled_pool_gives_nothing_but_keeps_what_it_gave() -> None:
    ipam = _ipam(Pool(cidr="10.0.0.0/24", disabled=True), Pool(cidr="10.1.0.0/24"))
    ipam.claim_block("a", "10.0.0.64/26")
    ipam.claim("old", "10.0.0.65")
    assert ipam.owner("10.0.0.65") == "old"
    assert ipam.assign_block("b") == "10.1.0.0/26"


def test_allocating_is_idempotent_and_takes_new_blocks_when_full() -> None:
    ipam = _ipam(Pool(cidr="10.0.0.0/24", block_size=31))
    assert [ipam.allocate(owner, "a") for owner in ("p", "q", "p", "r")] == [
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.0",
        "10.0.0.2",
    ]
    assert ipam.blocks("a") == ["10.0.0.0/31", "10.0.0.2/31"]


def test_one_owner_may_have_both_families() -> None:
    ipam = _ipam(Pool(cidr="10.0.0.0/24"), Pool(cidr="fd00::/64"))
    assert ipam.allocate("p", "a") == "10.0.0.0"
    assert ipam.allocate("p", "a", version=6) == "fd00::"
    assert ipam.addresses("p") == ["10.0.0.0", "fd00::"]


def test_a_released_address_is_the_last_to_be_given_again() -> None:
    ipam = _ipam(Pool(cidr="10.0.0.0/30"))
    ipam.allocate("p", "a")
    ipam.release("p")
    assert [ipam.allocate(owner, "a") for owner in "qrst"] == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.0"]
    with pytest.raises(IpamError, match="no pool"):
        ipam.allocate("u", "a")


def test_claims_rebuild_the_state() -> None:
    before = _ipam()
    taken = {owner: before.allocate(owner, "a") for owner in "pqr"}
    after = _ipam()
    for block in before.blocks("a"):
        after.claim_block("a", block)
    for owner, address in taken.items():
        after.claim(owner, address)
        after.claim(owner, address)
    assert after.allocate("s", "a") == before.allocate("s", "a") == "10.244.0.3"


def test_false_claims() -> None:
    ipam = _ipam()
    ipam.claim_block("a", "10.244.0.0/26")
    ipam.claim("p", "10.244.0.1")
    for address in ("10.244.0.1", "10.244.0.64", "192.0.2.1", "x"):
        with pytest.raises(IpamError):
            ipam.claim("q", address)
    for node, block in (("b", "10.244.0.0/26"), ("a", "10.244.0.0/25"), ("a", "192.0.2.0/26"), ("a", "x")):
        with pytest.raises(IpamError):
            ipam.claim_block(node, block)
    assert ipam.blocks("b") == []


def test_a_node_that_is_gone_gives_everything_back() -> None:
    ipam = _ipam()
    ipam.allocate("p", "a")
    ipam.release_node("a")
    assert ipam.blocks("a") == ipam.addresses("p") == []
    assert ipam.owner("10.244.0.0") is None
    assert ipam.allocate("p", "b") == "10.244.0.0"
