"""What nobody owns any more goes; what somebody still owns stays."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile import garbage
from tsujiban.controller.reconcile.actions import Delete, Update
from tsujiban.controller.world import NAMESPACES, PODS, Ref, owner_reference, with_metadata


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


def owned_pod(kit: Any, name: str, owner: Any) -> Ref:
    pod: Ref = kit.pod(name)
    kit.put(pod, with_metadata(kit.world.get(pod), ownerReferences=[owner_reference(owner)]))
    return pod


def terminating(kit: Any, ref: Ref, *finalizers: str) -> Any:
    head = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": list(finalizers) or None}
    kit.put(ref, with_metadata(kit.world.get(ref), **head))
    return kit.world.get(ref)


def test_orphans_forget_their_owner_and_then_it_goes(kit: Any) -> None:
    ref = kit.deployment("web", 1)
    pod = owned_pod(kit, "p", kit.world.get(ref))
    terminating(kit, ref, garbage.ORPHAN)
    (forget,) = garbage.dependents(kit.world, ref)
    assert isinstance(forget, Update)
    assert forget.ref == pod
    assert "ownerReferences" not in forget.obj["metadata"]
    kit.put(pod, forget.obj)
    assert garbage.dependents(kit.world, ref) == [Delete(ref)]


def test_in_the_foreground_the_owner_goes_last(kit: Any) -> None:
    ref = kit.deployment("web", 1)
    pod = owned_pod(kit, "p", kit.world.get(ref))
    terminating(kit, ref, garbage.FOREGROUND, "mine.io/hold")
    assert garbage.dependents(kit.world, ref) == [Delete(pod)]
    terminating(kit, pod, "mine.io/hold")
    assert garbage.dependents(kit.world, ref) == []
    kit.world.drop(pod)
    (freed,) = garbage.dependents(kit.world, ref)
    assert isinstance(freed, Update)
    assert freed.obj["metadata"]["finalizers"] == ["mine.io/hold"]


def test_in_the_foreground_a_dependent_waits_for_its_own(kit: Any) -> None:
    ref = kit.deployment("web", 1)
    middle = owned_pod(kit, "middle", kit.world.get(ref))
    owned_pod(kit, "leaf", kit.world.get(middle))
    terminating(kit, ref, garbage.FOREGROUND)
    (marked,) = garbage.dependents(kit.world, ref)
    assert isinstance(marked, Update)
    assert marked.obj["metadata"]["finalizers"] == [garbage.FOREGROUND]
    assert marked.obj["metadata"]["deletionTimestamp"]


def test_an_owner_that_stays_frees_nobody(kit: Any) -> None:
    ref = kit.deployment("web", 1)
    owned_pod(kit, "p", kit.world.get(ref))
    assert garbage.dependents(kit.world, ref) == []


def test_a_terminated_pod_goes_when_its_node_has_ended_it(kit: Any) -> None:
    pod = kit.pod("p", node="n1")
    kit.put(pod, {**kit.world.get(pod), "status": {"phase": "Failed"}})
    assert garbage.terminated(kit.world, pod) == []
    terminating(kit, pod, "mine.io/hold")
    assert garbage.terminated(kit.world, pod) == []
    terminating(kit, pod)
    assert garbage.terminated(kit.world, pod) == [Delete(pod)]
    kit.put(pod, {**kit.world.get(pod), "status": {"phase": "Running"}})
    assert garbage.terminated(kit.world, pod) == []
