"""No address is given twice, whatever order the store tells things in."""

from __future__ import annotations

import pytest

from tsujiban.controller.addresses import Addresses
from tsujiban.controller.loop import Change
from tsujiban.controller.world import IP_POOLS, NODES, PODS, Json, Ref, World
from tsujiban.network.ipam import IpamError

POOL = Ref(*IP_POOLS, "", "pool")


class Scene:
    def __init__(self, cidr: str = "10.9.0.0/29", block: int = 30) -> None:
        self.world = World()
        self.addresses = Addresses()
        self.put(POOL, {"metadata": {"name": "pool"}, "spec": {"cidr": cidr, "blockSize": block}})

    def put(self, ref: Ref, obj: Json) -> None:
        change = Change(ref, self.world.get(ref), obj, 1)
        self.world.put(ref, obj)
        self.addresses.observe(self.world, [change])

    def drop(self, ref: Ref) -> None:
        old = self.world.drop(ref)
        self.addresses.observe(self.world, [Change(ref, old, None, 1)])

    def pod(self, name: str, node: str = "n1") -> Ref:
        ref = Ref(*PODS, "default", name)
        self.put(ref, {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {}})
        given = self.addresses.allocate(self.world, node, ref)
        ips = [{"ip": address} for address in given]
        self.put(
            ref, {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {}, "status": {"podIPs": ips}}
        )
        return ref

    def ip(self, ref: Ref) -> str:
        pod = self.world.get(ref)
        assert pod is not None
        return str(pod["status"]["podIPs"][0]["ip"])


def test_nodes_get_blocks_and_pods_addresses_of_them() -> None:
    scene = Scene()
    assert scene.addresses.blocks("n1") == ("10.9.0.0/30",)
    assert scene.addresses.blocks("n2") == ("10.9.0.4/30",)
    assert scene.ip(scene.pod("a", "n2")).startswith("10.9.0.")
    assert len({scene.ip(scene.pod(f"p{i}")) for i in range(4)}) == 4
    with pytest.raises(IpamError):
        scene.addresses.blocks("n3")


def test_what_is_exhausted_gives_nothing_and_what_is_freed_is_given_again() -> None:
    scene = Scene(cidr="10.9.0.0/30", block=30)
    pods = [scene.pod(f"p{i}") for i in range(4)]
    late = Ref(*PODS, "default", "late")
    scene.put(late, {"metadata": {"name": "late", "uid": "uid-late"}, "spec": {}})
    assert scene.addresses.allocate(scene.world, "n1", late) == ()
    freed = scene.ip(pods[2])
    scene.drop(pods[2])
    assert scene.addresses.allocate(scene.world, "n1", late) == (freed,)


def test_a_finished_pod_gives_its_address_back() -> None:
    scene = Scene(cidr="10.9.0.0/32", block=32)
    ref = scene.pod("job")
    held = scene.ip(ref)
    pod = scene.world.get(ref)
    assert pod is not None
    scene.put(ref, {**pod, "status": {**pod["status"], "phase": "Succeeded"}})
    assert scene.ip(scene.pod("next")) == held


def test_a_new_process_claims_what_the_store_says() -> None:
    scene = Scene()
    node = {"metadata": {"name": "n1"}, "spec": {"podCIDRs": list(scene.addresses.blocks("n1"))}}
    scene.put(Ref(*NODES, "", "n1"), node)
    taken = {scene.ip(scene.pod(f"p{i}")) for i in range(3)}
    again = Addresses()
    changes = [Change(ref, None, obj, 1) for ref, obj in scene.world.everything()]
    again.observe(scene.world, changes)
    assert again.blocks("n1") == ("10.9.0.0/30",)
    late = Ref(*PODS, "default", "late")
    scene.world.put(late, {"metadata": {"name": "late", "uid": "uid-late"}, "spec": {}})
    (fresh,) = again.allocate(scene.world, "n1", late)
    assert fresh not in taken
    assert again.pools() == ("10.9.0.0/29",)


def test_a_further_block_of_a_node_is_known_again_by_its_pods() -> None:
    """A controller that died between the first pod in a block and the block's own record."""
    scene = Scene()
    pods = [scene.pod(f"p{i}") for i in range(4)]
    ref = Ref(*PODS, "default", "fifth")
    scene.put(ref, {"metadata": {"name": "fifth", "uid": "uid-fifth"}, "spec": {"nodeName": "n1"}})
    (address,) = scene.addresses.allocate(scene.world, "n1", ref)
    assert scene.addresses.held("n1") == ("10.9.0.0/30", "10.9.0.4/30")
    pod = {**(scene.world.get(ref) or {}), "status": {"podIPs": [{"ip": address}]}}
    scene.put(ref, pod)
    node = {"metadata": {"name": "n1"}, "spec": {"podCIDRs": ["10.9.0.0/30"]}}
    scene.put(Ref(*NODES, "", "n1"), node)
    again = Addresses()
    again.observe(scene.world, [Change(POOL, None, scene.world.get(POOL), 1)])
    assert again.held("n1") == ("10.9.0.0/30", "10.9.0.4/30")
    late = Ref(*PODS, "default", "late")
    scene.put(late, {"metadata": {"name": "late", "uid": "uid-late"}, "spec": {}})
    taken = {address, *(scene.ip(pod) for pod in pods)}
    assert set(again.allocate(scene.world, "n1", late)).isdisjoint(taken)


def test_a_pool_that_cannot_be_is_left_out_and_the_others_go_on() -> None:
    scene = Scene()
    overlapping = {"metadata": {"name": "z"}, "spec": {"cidr": "10.9.0.0/28", "blockSize": 30}}
    scene.put(Ref(*IP_POOLS, "", "z"), overlapping)
    assert scene.addresses.pools() == ("10.9.0.0/29",)
    assert scene.addresses.blocks("n1") == ("10.9.0.0/30",)
