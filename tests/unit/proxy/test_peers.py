from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.policy.addresses import span
from tsujiban.policy.program import Mesh, Peer
from tsujiban.proxy.peers import REMEMBERED, Peers

ADDRESSES = ("10.0.0.1", "10.0.0.2", "192.0.2.1", "fd00::1")


def peer(address: str, identity: str = "", mesh: Mesh = Mesh.SIDECAR) -> Peer:
    return Peer(address=address, endpoint=address, identity=identity, mesh=mesh)


def test_an_owner_outside_the_mesh_proves_nothing_and_nobody_owns_what_is_not_known() -> None:
    peers = Peers({"10.0.0.1": peer("10.0.0.1", "i"), "10.0.0.2": peer("10.0.0.2", "i", Mesh.NONE)})
    assert peers.owner("10.0.0.1") == "i"
    assert peers.owner("10.0.0.2") == ""
    assert peers.owner("10.0.0.3") is None
    assert dict(peers.items()) == {"10.0.0.1": "i", "10.0.0.2": ""}
    assert "10.0.0.1" in peers
    assert "10.0.0.3" not in peers
    assert set(peers.plain()) == {"10.0.0.2"}
    peers.take({"10.0.0.1": peer("10.0.0.1", "i", Mesh.NONE), "10.0.0.2": peer("10.0.0.2", "i")})
    assert set(peers.plain()) == {"10.0.0.1"}
    peers.take({})
    assert not peers.plain()


def test_it_tells_which_addresses_mean_something_else_now() -> None:
    peers = Peers({"10.0.0.1": peer("10.0.0.1", "i"), "fd00:0::1": peer("fd00:0::1", "j")})
    assert peers.owner("fd00::1") == "j"
    assert peers.take({"10.0.0.1": peer("10.0.0.1", "i"), "fd00:0::1": peer("fd00:0::1", "k")}) == {
        "fd00::1": "j"
    }
    assert peers.take({"10.0.0.2": peer("10.0.0.2")}) == {
        "10.0.0.1": "i",
        "10.0.0.2": "",
        "fd00::1": "k",
    }
    assert peers.owner("10.0.0.1") is None


def test_addresses_are_found_by_where_they_lie() -> None:
    listed = ("10.0.0.1", "10.0.1.1", "10.0.0.9", "192.0.2.1", "fd00::1", "fe00::1")
    peers = Peers({one: peer(one) for one in listed})
    assert list(peers.inside(span("10.0.0.0/24"))) == ["10.0.0.1", "10.0.0.9"]
    assert list(peers.inside(span("10.0.0.9"))) == ["10.0.0.9"]
    assert list(peers.inside(span("fd00::/8"))) == ["fd00::1"]
    assert list(peers.outside(("10.0.0.0/24", "10.0.1.0/24", "fd00::/8"))) == ["192.0.2.1", "fe00::1"]
    assert list(peers.outside(())) == sorted(listed, key=span)
    peers.take({"10.0.0.9": peer("10.0.0.9"), "10.0.0.3": peer("10.0.0.3")})
    assert list(peers.inside(span("10.0.0.0/8"))) == ["10.0.0.3", "10.0.0.9"]


@given(st.lists(st.dictionaries(st.sampled_from(ADDRESSES), st.sampled_from(("i", "j", ""))), max_size=4))
def test_after_any_changes_it_is_as_if_it_were_new(words: list[dict[str, str]]) -> None:
    peers = Peers()
    for word in words:
        state = {one: peer(one, identity) for one, identity in word.items()}
        before = dict(peers.items())
        changed = peers.take(state)
        anew = Peers(state)
        assert dict(peers.items()) == dict(anew.items())
        assert list(peers.outside(())) == list(anew.outside(()))
        assert changed.keys() >= {one for one in ADDRESSES if before.get(one) != peers.owner(one)}


def test_who_looks_seldom_is_told_all_that_has_moved_or_that_it_is_too_much() -> None:
    peers = Peers({"10.0.0.1": peer("10.0.0.1", "i")})
    seen = peers.revision
    assert peers.since(seen) == frozenset()
    peers.take({"10.0.0.1": peer("10.0.0.1", "j")})
    peers.take({"10.0.0.1": peer("10.0.0.1", "j")})
    peers.take({"10.0.0.1": peer("10.0.0.1", "j"), "10.0.0.2": peer("10.0.0.2")})
    assert peers.since(seen) == frozenset({"10.0.0.1", "10.0.0.2"})
    assert peers.since(seen + 1) == frozenset({"10.0.0.2"})
    for number in range(REMEMBERED):
        peers.take({"10.0.0.2": peer("10.0.0.2", str(number))})
    assert peers.since(seen) is None
    assert peers.since(peers.revision - REMEMBERED) == frozenset({"10.0.0.1", "10.0.0.2"})
