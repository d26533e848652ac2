"""A pod belongs to whom its labels say, when nobody else controls it."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile import daemonsets, deployments, replicasets
from tsujiban.controller.reconcile.claims import claim
from tsujiban.controller.world import (
    DAEMON_SETS,
    PODS,
    REPLICA_SETS,
    Json,
    Ref,
    controller_of,
    owner_reference,
    stamp,
    with_metadata,
)

SPEC: Json = {
    "replicas": 2,
    "selector": {"matchLabels": {"app": "web"}},
    "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}},
}


def put(kit: Any, kind: str, group: tuple[str, str], name: str = "web") -> Ref:
    head = {"name": name, "namespace": "default"}
    ref: Ref = kit.put(
        Ref(*group, "default", name), {"apiVersion": "apps/v1", "kind": kind, "metadata": head, "spec": SPEC}
    )
    return ref


def names(kit: Any, owner: Ref) -> set[str]:
    uid = kit.world.get(owner)["metadata"]["uid"]
    return {ref.name for ref, _ in kit.world.owned_by(uid, PODS)}


def test_a_pod_that_is_relabelled_is_let_go_and_replaced(kit: Any) -> None:
    owner = put(kit, "ReplicaSet", REPLICA_SETS)
    kit.carry_out(replicasets.plan(kit.world, owner, 0.0).actions)
    ref, pod = next(iter(kit.world.all(PODS)))
    kit.put(ref, with_metadata(pod, labels={"app": "under-repair"}))
    kit.carry_out(replicasets.plan(kit.world, owner, 0.0).actions)
    assert controller_of(kit.world.get(ref)) is None
    assert len(names(kit, owner)) == 2
    assert ref.name not in names(kit, owner)
    kit.put(ref, with_metadata(kit.world.get(ref), labels={"app": "web"}))  # it is one too many now
    kit.carry_out(replicasets.plan(kit.world, owner, 0.0).actions)
    kit.carry_out(replicasets.plan(kit.world, owner, 0.0).actions)
    assert len(names(kit, owner)) == 2


def test_pods_that_were_left_behind_are_taken_up(kit: Any) -> None:
    left, other = kit.pod("left", app="web"), kit.pod("other", app="db")
    gone = kit.pod("gone", app="web")
    kit.put(gone, with_metadata(kit.world.get(gone), deletionTimestamp=stamp(0)))
    owner = put(kit, "ReplicaSet", REPLICA_SETS)
    kit.carry_out(replicasets.plan(kit.world, owner, 0.0).actions)
    assert left.name in names(kit, owner)
    assert len(names(kit, owner)) == 2
    assert all(controller_of(kit.world.get(ref)) is None for ref in (other, gone))


def test_nobody_takes_another_controllers_pod(kit: Any) -> None:
    stranger = put(kit, "ReplicaSet", REPLICA_SETS, "stranger")
    pod = kit.pod("theirs", app="web")
    mark = [owner_reference(kit.world.get(stranger))]
    kit.put(pod, with_metadata(kit.world.get(pod), ownerReferences=mark))
    owner = put(kit, "ReplicaSet", REPLICA_SETS)
    assert claim(kit.world, kit.world.get(owner)) == ([], [])


def test_a_daemon_set_takes_up_what_runs_on_its_nodes(kit: Any) -> None:
    kit.node("n1")
    left = kit.pod("left", ip="10.0.0.1", node="n1", ready=True, app="web")
    owner = put(kit, "DaemonSet", DAEMON_SETS)
    kit.carry_out(daemonsets.plan(kit.world, owner, 0.0).actions)
    assert names(kit, owner) == {left.name}


def test_a_deployment_takes_up_a_replica_set_of_its_template(kit: Any) -> None:
    ref = kit.deployment("web", 2)
    kit.carry_out(deployments.plan(kit.world, ref, 0.0).actions)
    ((made, _),) = kit.world.all(REPLICA_SETS)
    kit.put(made, with_metadata(kit.world.get(made), ownerReferences=None))
    kit.put(ref, with_metadata(kit.world.get(ref), uid="another"))
    kit.carry_out(deployments.plan(kit.world, ref, 0.0).actions)
    owner = controller_of(kit.world.get(made))
    assert owner is not None
    assert owner["uid"] == "another"


def test_a_selector_that_does_not_fit_its_own_template_lets_go_of_nothing(kit: Any) -> None:
    owner = put(kit, "ReplicaSet", REPLICA_SETS)
    obj = kit.world.get(owner)
    odd = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["other"]}]}
    kit.put(owner, {**obj, "spec": {**SPEC, "selector": odd}})
    for _ in range(3):
        kit.carry_out(replicasets.plan(kit.world, owner, 0.0).actions)
    assert len(list(kit.world.all(PODS))) == 2
