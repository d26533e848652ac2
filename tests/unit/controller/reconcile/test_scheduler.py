"""Pods are spread, and bound together with an address or not at all."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile import placement, scheduler
from tsujiban.controller.reconcile.actions import Update
from tsujiban.controller.world import NODES, PODS, Ref


def allocator(**free: int) -> scheduler.Allocate:
    def allocate(node: str, ref: Ref) -> tuple[str, ...]:
        if not free.get(node.replace("-", "_"), 0):
            return ()
        return (f"10.0.0.{free[node.replace('-', '_')]}",)

    return allocate


def bound(kit: Any, ref: Ref, allocate: scheduler.Allocate) -> tuple[str | None, str | None]:
    kit.carry_out(scheduler.plan(kit.world, ref, allocate))
    pod = kit.world.get(ref)
    return pod["spec"].get("nodeName"), pod["status"].get("podIP")


def test_spreads_over_nodes(kit: Any) -> None:
    kit.node("n1")
    kit.node("n2")
    allocate = allocator(n1=9, n2=9)
    nodes = [bound(kit, kit.pod(f"p{i}"), allocate)[0] for i in range(4)]
    assert sorted(filter(None, nodes)) == ["n1", "n1", "n2", "n2"]


def test_goes_where_an_address_is_free(kit: Any) -> None:
    kit.node("n1")
    kit.node("n2")
    assert bound(kit, kit.pod("p"), allocator(n2=7)) == ("n2", "10.0.0.7")


def test_a_named_node_is_kept_and_gets_an_address(kit: Any) -> None:
    kit.node("n1")
    kit.node("n2")
    assert bound(kit, kit.pod("p", node="n2"), allocator(n1=1, n2=2)) == ("n2", "10.0.0.2")


def test_node_selector_unschedulable_and_unready_nodes(kit: Any) -> None:
    kit.node("n1")
    kit.node("n2", disk="fast")
    cordoned = kit.node("n3", disk="fast")
    kit.put(cordoned, {**kit.world.get(cordoned), "spec": {"unschedulable": True}})
    kit.put(Ref(*NODES, "", "n4"), {"metadata": {"name": "n4", "labels": {"disk": "fast"}}})
    ref = kit.pod("p")
    pod = kit.world.get(ref)
    kit.put(ref, {**pod, "spec": {**pod["spec"], "nodeSelector": {"disk": "fast"}}})
    assert bound(kit, ref, allocator(n1=1, n2=2, n3=3, n4=4)) == ("n2", "10.0.0.2")


def test_a_node_that_prefers_to_be_left_alone_is_taken_last(kit: Any) -> None:
    shunned, _ = kit.node("n1"), kit.node("n2")
    soft = {"key": "a", "effect": "PreferNoSchedule"}
    kit.put(shunned, {**kit.world.get(shunned), "spec": {"taints": [soft]}})
    both = allocator(n1=9, n2=9)
    assert [bound(kit, kit.pod(f"p{i}"), both)[0] for i in range(3)] == ["n2"] * 3
    bearing = kit.pod("q")
    kit.world.get(bearing)["spec"]["tolerations"] = [{"key": "a", "operator": "Exists"}]
    assert bound(kit, bearing, both)[0] == "n1"
    assert bound(kit, kit.pod("r"), allocator(n1=5))[0] == "n1"


def test_says_why_a_pod_waits_and_says_it_once(kit: Any) -> None:
    kit.node("n1")
    ref = kit.pod("p")
    first = scheduler.plan(kit.world, ref, allocator())
    assert [type(a) for a in first] == [Update]
    assert "no free address on n1" in first[0].obj["status"]["conditions"][0]["message"]  # type: ignore[union-attr]
    kit.carry_out(first)
    assert scheduler.plan(kit.world, ref, allocator()) == []


def test_says_which_nodes_cannot_take_a_pod_for_which_reason(kit: Any) -> None:
    kit.node("n1", zone="a")
    kit.put(Ref(*NODES, "", "n2"), {"metadata": {"name": "n2"}})
    tainted = kit.node("n3")
    taint = {"key": "a", "effect": "NoSchedule"}
    kit.put(tainted, {**kit.world.get(tainted), "spec": {"taints": [taint]}})
    kit.node("n4")
    kit.pod("db", node="n4", ip="10.0.0.9", app="db")
    ref = kit.pod("p")
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    apart = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    kit.world.get(ref)["spec"]["affinity"] = {"podAntiAffinity": apart}
    kit.world.get(ref)["spec"]["nodeSelector"] = {"zone": "b"}

    def why() -> str:
        (action,) = scheduler.plan(kit.world, ref, allocator(n1=1, n4=1))
        assert isinstance(action, Update)
        return str(action.obj["status"]["conditions"][0]["message"])

    assert why() == (
        "0/4 nodes are available: 1 node(s) had untolerated taints, 1 node(s) were not ready,"
        " 2 node(s) didn't match Pod's node affinity/selector."
    )
    kit.world.get(kit.node("n4", zone="b"))
    assert "1 node(s) didn't match pod anti-affinity rules" in why()
    kit.world.get(ref)["spec"]["nodeName"] = "nowhere"
    assert why() == "0/4 nodes are available: there is no nowhere."


def test_a_daemons_pod_too_keeps_away_from_whom_it_must(kit: Any) -> None:
    kit.node("n1")
    kit.pod("db", node="n1", ip="10.0.0.9", app="db")
    ref = kit.pod("p")
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    pinned = placement.pin({"affinity": apart}, "n1")
    kit.world.get(ref)["spec"]["affinity"] = pinned
    assert bound(kit, ref, allocator(n1=5)) == (None, None)
    kit.world.drop(Ref(*PODS, "default", "db"))
    assert bound(kit, ref, allocator(n1=5))[0] == "n1"


def test_a_bound_pod_is_left_alone(kit: Any) -> None:
    kit.node("n1")
    ref = kit.pod("p", node="n1", ip="10.0.0.1")
    assert scheduler.plan(kit.world, ref, allocator(n1=5)) == []
    assert scheduler.plan(kit.world, Ref(*PODS, "default", "gone"), allocator(n1=5)) == []


def test_a_named_node_that_does_not_exist_takes_no_address(kit: Any) -> None:
    kit.node("n1")
    asked: list[str] = []

    def allocate(node: str, ref: Ref) -> tuple[str, ...]:
        asked.append(node)
        return ("10.0.0.1",)

    assert bound(kit, kit.pod("p", node="nowhere"), allocate) == ("nowhere", None)
    assert asked == []


def test_a_pod_takes_its_accounts_word_about_tokens(kit: Any) -> None:
    kit.node("n1")
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    kit.put(Ref("", "serviceaccounts", "default", "default"), account)
    for name, own, expected in (("p", None, False), ("q", True, True)):
        ref = kit.pod(name)
        if own is not None:
            kit.world.get(ref)["spec"]["automountServiceAccountToken"] = own
        bound(kit, ref, allocator(n1=9))
        assert kit.world.get(ref)["spec"]["automountServiceAccountToken"] is expected


def test_requests_are_counted_against_what_a_node_has_and_freed_with_their_pods(kit: Any) -> None:
    for name, cpu in (("n1", "1"), ("n2", "2")):
        node = kit.node(name)
        known = kit.world.get(node)
        kit.put(node, {**known, "status": {**known.get("status", {}), "allocatable": {"cpu": cpu}}})
    allocate = allocator(n1=1, n2=2)

    def asking(name: str, cpu: str) -> Ref:
        ref: Ref = kit.pod(name)
        pod = kit.world.get(ref)
        container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
        kit.put(ref, {**pod, "spec": {**pod["spec"], "containers": [container]}})
        return ref

    first = asking("big", "1500m")
    assert bound(kit, first, allocate)[0] == "n2"
    assert bound(kit, asking("one", "1"), allocate)[0] == "n1"
    (action,) = scheduler.plan(kit.world, waiting := asking("late", "600m"), allocate)
    assert isinstance(action, Update)
    assert action.obj["status"]["conditions"][0]["message"] == "0/2 nodes are available: 2 Insufficient cpu."
    assert bound(kit, asking("small", "500m"), allocate)[0] == "n2"
    done = kit.world.get(first)
    kit.put(first, {**done, "status": {**done["status"], "phase": "Succeeded"}})
    assert bound(kit, waiting, allocate)[0] == "n2"


def test_what_others_say_of_a_waiting_pod_stays_and_is_no_reason_to_write(kit: Any) -> None:
    kit.node("n1")
    ref = kit.pod("p")
    theirs = {"type": "example.com/Quota", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    pod = kit.world.get(ref)
    kit.put(ref, {**pod, "status": {**pod["status"], "conditions": [theirs, *pod["status"]["conditions"]]}})
    kit.carry_out(scheduler.plan(kit.world, ref, allocator()))
    said = kit.world.get(ref)["status"]
    assert [one["type"] for one in said["conditions"]] == ["PodScheduled", "example.com/Quota"]
    dated = [theirs, {**said["conditions"][0], "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    kit.put(ref, {**kit.world.get(ref), "status": {**said, "conditions": dated, "message": "theirs"}})
    assert scheduler.plan(kit.world, ref, allocator()) == []
    assert bound(kit, ref, allocator(n1=1)) == ("n1", "10.0.0.1")
    assert kit.world.get(ref)["status"]["conditions"] == [{"type": "PodScheduled", "status": "True"}, theirs]


def test_an_address_that_a_waiting_pod_has_from_somebody_else_is_taken_away(kit: Any) -> None:
    kit.node("n1")
    ref = kit.pod("p")
    kit.carry_out(scheduler.plan(kit.world, ref, allocator()))
    pod = kit.world.get(ref)
    kit.put(ref, {**pod, "status": {**pod["status"], "podIP": "10.9.9.9"}})
    kit.carry_out(scheduler.plan(kit.world, ref, allocator()))
    assert "podIP" not in kit.world.get(ref)["status"]
