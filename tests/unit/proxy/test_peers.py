from __future__ import annotations

from tsujiban.policy.program import Mesh, Peer
from tsujiban.proxy.peers import Peers


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


def test_it_tells_which_addresses_mean_something_else_now() -> None:
    peers = Peers({"10.0.0.1": peer("10.0.0.1", "i"), "fd00:0::1": peer("fd00:0::1", "j")})
    assert peers.owner("fd00::1") == "j"
    assert peers.take({"10.0.0.1": peer("10.0.0.1", "i"), "fd00:0::1": peer("fd00:0::1", "k")}) == {"fd00::1"}
    assert peers.take({"10.0.0.2": peer("10.0.0.2")}) == {"10.0.0.1", "10.0.0.2", "fd00::1"}
    assert peers.owner("10.0.0.1") is None
