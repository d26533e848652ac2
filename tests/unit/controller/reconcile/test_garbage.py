"""What nobody owns any more goes; what somebody still owns stays."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile import garbage
from tsujiban.controller.reconcile.actions import Delete
from tsujiban.controller.world import NAMESPACES, PODS, Ref, owner_reference


def test_owned_objects_follow_their_owner(kit: Any) -> None:
    ref = kit.deployment("web", 1)
    owner = kit.world.get(ref)
    pod = kit.pod("p")
    metadata = {**kit.world.get(pod)["metadata"], "ownerReferences": [owner_reference(owner)]}
    kit.put(pod, {**kit.world.get(pod), "metadata": metadata})
    kit.pod("free")
    kit.world.drop(ref)
    assert garbage.orphaned(kit.world, owner["metadata"]["uid"]) == [Delete(pod)]


def test_a_second_living_owner_keeps_it(kit: Any) -> None:
    first, second = kit.deployment("a", 1), kit.deployment("b", 1)
    gone, kept = kit.world.get(first), kit.world.get(second)
    pod = kit.pod("p")
    references = [owner_reference(gone), owner_reference(kept)]
    kit.put(pod, {**kit.world.get(pod), "metadata": {"name": "p", "uid": "u", "ownerReferences": references}})
    kit.world.drop(first)
    assert garbage.orphaned(kit.world, gone["metadata"]["uid"]) == []


def test_an_owner_made_anew_under_the_same_name_is_another(kit: Any) -> None:
    ref = kit.deployment("web", 1)
    gone = kit.world.get(ref)
    pod = kit.pod("p")
    metadata = {"name": "p", "uid": "u", "ownerReferences": [owner_reference(gone)]}
    kit.put(pod, {**kit.world.get(pod), "metadata": metadata})
    kit.world.drop(ref)
    kit.put(ref, {**gone, "metadata": {**gone["metadata"], "uid": "another"}})
    assert garbage.orphaned(kit.world, gone["metadata"]["uid"]) == [Delete(pod)]


def test_a_deleted_namespace_is_emptied(kit: Any) -> None:
    kit.pod("p")
    assert garbage.of_namespace(kit.world, "default") == [Delete(Ref(*PODS, "default", "p"))]
    kit.put(Ref(*NAMESPACES, "", "default"), {"metadata": {"name": "default"}})
    assert garbage.of_namespace(kit.world, "default") == []


def test_an_owner_of_any_known_kind_counts_and_one_of_an_unknown_kind_is_left_alone(kit: Any) -> None:
    policy = Ref("networking.k8s.io", "networkpolicies", "default", "np")
    metadata = {"name": "np", "namespace": "default", "uid": "np-uid"}
    owner = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata}
    kit.put(policy, owner)
    pod = kit.pod("p")
    assert garbage.alive(kit.world, pod, owner_reference(owner))
    kit.world.drop(policy)
    assert not garbage.alive(kit.world, pod, owner_reference(owner))
    foreign = {"apiVersion": "argoproj.io/v1", "kind": "Rollout", "name": "r", "uid": "r-uid"}
    assert garbage.alive(kit.world, pod, foreign)


def test_pods_of_a_deleted_node_go_and_no_others(kit: Any) -> None:
    node = kit.node("n1")
    kit.node("n2")
    lost, _kept = kit.pod("p", node="n1"), kit.pod("q", node="n2")
    assert garbage.of_node(kit.world, "n1") == []
    kit.world.drop(node)
    assert garbage.of_node(kit.world, "n1") == [Delete(lost)]
