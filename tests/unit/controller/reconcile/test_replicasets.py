"""A ReplicaSet holds its number, and gives up the least useful pods first."""

from __future__ import annotations

import math
from typing import Any

from tsujiban.controller.reconcile import replicasets
from tsujiban.controller.reconcile.actions import Create, Delete
from tsujiban.controller.reconcile.podtemplates import AT_ONCE
from tsujiban.controller.world import PODS, REPLICA_SETS, Json, Ref, owner_reference, stamp

NOW = 1_700_000_000.0


def replica_set(kit: Any, replicas: int, **spec: Any) -> Ref:
    obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}},
            **spec,
        },
    }
    ref: Ref = kit.put(Ref(*REPLICA_SETS, "default", "web"), obj)
    return ref


def own(kit: Any, ref: Ref, *pods: Ref) -> None:
    for pod_ref in pods:
        pod = kit.world.get(pod_ref)
        owners = [owner_reference(kit.world.get(ref))]
        metadata = {**pod["metadata"], "labels": {"app": "web"}, "ownerReferences": owners}
        kit.put(pod_ref, {**pod, "metadata": metadata})


def test_replaces_a_failed_pod(kit: Any) -> None:
    ref = replica_set(kit, 1)
    dead = kit.pod("web-dead")
    own(kit, ref, dead)
    kit.put(dead, {**kit.world.get(dead), "status": {"phase": "Failed"}})
    actions = replicasets.plan(kit.world, ref, NOW, suffix=lambda: "fresh").actions
    assert [type(a) for a in actions[:2]] == [Delete, Create]
    assert actions[0].ref == dead
    assert actions[1].ref == Ref(*PODS, "default", "web-fresh")


def test_a_pod_has_what_admission_gives_to_a_pod(kit: Any) -> None:
    (made,) = [
        a for a in replicasets.plan(kit.world, replica_set(kit, 1), NOW).actions if isinstance(a, Create)
    ]
    assert made.obj["spec"]["serviceAccountName"] == "default"
    assert made.obj["spec"]["enableServiceLinks"] is True


def test_scaling_down_spares_what_is_ready(kit: Any) -> None:
    ref = replica_set(kit, 1)
    good = kit.pod("web-a", node="n1", ready=True)
    unready = kit.pod("web-b", node="n1")
    unbound = kit.pod("web-c")
    own(kit, ref, good, unready, unbound)
    gone = [a.ref for a in replicasets.plan(kit.world, ref, NOW).actions if isinstance(a, Delete)]
    assert gone == [unbound, unready]


def ready_since(kit: Any, ref: Ref, name: str, since: float) -> Ref:
    """A pod of the set that has been ready from some time on."""
    pod: Ref = kit.pod(name, node="n1")
    own(kit, ref, pod)
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": stamp(since)}
    kit.put(pod, {**kit.world.get(pod), "status": {"conditions": [condition]}})
    return pod


def counts(kit: Any, ref: Ref) -> tuple[int, int]:
    status: Json = kit.world.get(ref)["status"]
    return status["readyReplicas"], status["availableReplicas"]


def test_what_is_ready_for_long_enough_is_available(kit: Any) -> None:
    """`minReadySeconds` had no effect: what was ready was available."""
    ref = replica_set(kit, 2, minReadySeconds=30)
    ready_since(kit, ref, "web-a", NOW - 20)
    ready_since(kit, ref, "web-b", NOW - 5)
    for now, available, again in (
        (NOW, 0, NOW + 10),
        (NOW + 10, 1, NOW + 25),
        (NOW + 25, 2, math.inf),
    ):
        planned = replicasets.plan(kit.world, ref, now)
        kit.carry_out(planned.actions)
        assert (*counts(kit, ref), planned.again) == (2, available, again)


def test_of_what_is_ready_the_newest_goes_first(kit: Any) -> None:
    ref = replica_set(kit, 1, minReadySeconds=30)
    ready_since(kit, ref, "web-a", NOW - 40)
    young = ready_since(kit, ref, "web-b", NOW - 5)
    gone = [a.ref for a in replicasets.plan(kit.world, ref, NOW).actions if isinstance(a, Delete)]
    assert gone == [young]


def test_two_thousand_million_replicas_are_made_as_they_find_a_place(kit: Any) -> None:
    """A plan for all of them ended the controller, for want of memory."""
    ref = replica_set(kit, 2**31 - 1)
    kit.carry_out(replicasets.plan(kit.world, ref, NOW).actions)
    assert len(list(kit.world.all(PODS))) == AT_ONCE
    assert not [a for a in replicasets.plan(kit.world, ref, NOW).actions if isinstance(a, Create)]
    placed, pod = next(iter(kit.world.all(PODS)))
    kit.put(placed, {**pod, "spec": {**pod["spec"], "nodeName": "n1"}})
    assert len([a for a in replicasets.plan(kit.world, ref, NOW).actions if isinstance(a, Create)]) == 1
