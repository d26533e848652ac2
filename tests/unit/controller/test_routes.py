"""What a change makes somebody look at."""

from __future__ import annotations

from tsujiban.controller.loop import Change
from tsujiban.controller.routes import route
from tsujiban.controller.world import (
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    Json,
    Ref,
    World,
)


def obj(name: str, uid: str = "", **fields: object) -> Json:
    return {"metadata": {"name": name, "uid": uid or f"uid-{name}"}, **fields}


def owned(name: str, kind: str, owner: str) -> Json:
    reference = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": owner,
        "uid": f"uid-{owner}",
        "controller": True,
    }
    made = obj(name, spec={})
    made["metadata"]["ownerReferences"] = [reference]
    return made


def world(*entries: tuple[Ref, Json]) -> World:
    view = World()
    view.put(Ref(*NAMESPACES, "", "default"), obj("default"))
    for ref, value in entries:
        view.put(ref, value)
    return view


def work(view: World, ref: Ref, old: Json | None, new: Json | None) -> set[tuple[str, str]]:
    if new is None:
        view.drop(ref)
    else:
        view.put(ref, new)
    return {(planner, target.name) for planner, target in route(view, Change(ref, old, new, 1))}


POD, SET = Ref(*PODS, "default", "p"), Ref(*REPLICA_SETS, "default", "rs")
SERVICE, DEPLOYMENT = Ref(*SERVICES, "default", "s"), Ref(*DEPLOYMENTS, "default", "d")


def test_a_pod_concerns_its_replica_set_and_the_services_that_selected_it_before_or_now() -> None:
    view = world((SET, obj("rs")), (SERVICE, obj("s", spec={"selector": {"a": "1"}})))
    before = owned("p", "ReplicaSet", "rs")
    before["metadata"]["labels"] = {"a": "1"}
    after = owned("p", "ReplicaSet", "rs")
    assert work(view, POD, before, after) == {("schedule", "p"), ("replicaset", "rs"), ("endpoints", "s")}
    assert work(view, POD, after, after) == {("schedule", "p"), ("replicaset", "rs")}


def test_a_replica_set_concerns_its_deployment() -> None:
    view = world((DEPLOYMENT, obj("d")))
    assert work(view, SET, None, owned("rs", "Deployment", "d")) == {
        ("replicaset", "rs"),
        ("deployment", "d"),
    }


def test_a_deleted_owner_and_an_orphan_are_garbage() -> None:
    view = world()
    assert ("garbage", "uid-d") in work(view, DEPLOYMENT, obj("d"), None)
    assert ("garbage", "uid-d") in work(view, SET, None, owned("rs", "Deployment", "d"))


def test_a_node_concerns_the_pods_that_wait() -> None:
    waiting, bound = Ref(*PODS, "default", "w"), Ref(*PODS, "default", "b")
    view = world((waiting, obj("w", spec={})), (bound, obj("b", spec={"nodeName": "n"})))
    assert work(view, Ref(*NODES, "", "n"), None, obj("n")) == {("schedule", "w")}


def test_a_namespace_gets_an_account_and_a_deleted_one_is_emptied() -> None:
    ref = Ref(*NAMESPACES, "", "bank")
    view = world()
    assert work(view, ref, None, obj("bank")) == {("account", "bank")}
    assert ("empty-namespace", "bank") in work(view, ref, obj("bank"), None)
    late = Ref(*SERVICES, "bank", "s")
    assert ("empty-namespace", "bank") in work(view, late, None, obj("s", spec={}))
