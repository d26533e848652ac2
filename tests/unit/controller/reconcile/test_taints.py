"""Who may run on a node, and who must leave it."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller import members
from tsujiban.controller.reconcile import taints
from tsujiban.controller.reconcile.taints import (
    NOT_READY,
    PATIENCE,
    UNHEARD_SECONDS,
    UNREACHABLE,
    UNSCHEDULABLE,
)
from tsujiban.controller.world import Json, Ref, is_ready, stamp

NOW = 1_800_000_000.0


def spec(kit: Any, ref: Ref) -> Json:
    found: Json = kit.world.get(ref).get("spec", {})
    return found


def settle(kit: Any, ref: Ref, now: float = NOW) -> list[tuple[str, str]]:
    kit.carry_out(taints.plan(kit.world, ref, now))
    assert taints.plan(kit.world, ref, now + 1) == []
    return [(t["key"], t["effect"]) for t in spec(kit, ref).get("taints", [])]


def lose(kit: Any, ref: Ref, now: float = NOW) -> None:
    kit.put(ref, members.unheard(kit.world.get(ref), now))
    assert settle(kit, ref, now) == [(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]


def taint(key: str, effect: str = "NoSchedule", **more: Any) -> Json:
    return {"key": key, "effect": effect, **more}


def test_taints_follow_what_is_known_of_a_node(kit: Any) -> None:
    ref = kit.node("n1")
    assert settle(kit, ref) == []
    kit.put(ref, {**kit.world.get(ref), "spec": {"unschedulable": True, "taints": [taint("mine")]}})
    assert settle(kit, ref) == [("mine", "NoSchedule"), (UNSCHEDULABLE, "NoSchedule")]
    kit.put(ref, {**kit.world.get(ref), "spec": {"taints": spec(kit, ref)["taints"]}})
    assert settle(kit, ref) == [("mine", "NoSchedule")]
    kit.put(ref, {**kit.world.get(ref), "status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    assert (NOT_READY, "NoExecute") in settle(kit, ref)


def test_when_a_taint_began_is_remembered(kit: Any) -> None:
    ref = kit.node("n1")
    lose(kit, ref)
    kit.put(ref, {**kit.world.get(ref), "metadata": {"name": "n1", "labels": {"a": "b"}, "uid": "u"}})
    settle(kit, ref, NOW + 50)
    assert spec(kit, ref)["taints"][1]["timeAdded"] == stamp(NOW)
    kit.put(ref, {**kit.world.get(ref), "spec": {"taints": [taint("drill", "NoExecute")]}})
    settle(kit, ref, NOW + 60)
    assert spec(kit, ref)["taints"][0]["timeAdded"] == stamp(NOW + 60)


@pytest.mark.parametrize(
    ("toleration", "held"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "a", "operator": "Exists"}, True),
        ({"key": "a", "value": "1"}, True),
        ({"key": "a", "value": "1", "effect": "NoSchedule"}, True),
        ({"key": "a", "value": "2"}, False),
        ({"key": "b", "operator": "Exists"}, False),
        ({"key": "a", "operator": "Exists", "effect": "NoExecute"}, False),
        ({}, False),
    ],
)
def test_tolerations(toleration: Json, held: bool) -> None:
    assert taints.tolerates(toleration, taint("a", value="1")) is held


def test_a_node_would_rather_not_have_who_does_not_bear_its_soft_taints() -> None:
    node = {"spec": {"taints": [taint("a", "PreferNoSchedule"), taint("b", "PreferNoSchedule"), taint("c")]}}
    bears = [{"key": "a", "operator": "Exists", "effect": "PreferNoSchedule"}]
    assert taints.unwelcome(node, {"spec": {}}) == 2
    assert taints.unwelcome(node, {"spec": {"tolerations": bears}}) == 1
    assert taints.unwelcome(node, {"spec": {"tolerations": [{"operator": "Exists"}]}}) == 0
    assert taints.unwelcome({}, {"spec": {}}) == 0


def test_a_pod_is_put_where_it_bears_every_taint() -> None:
    node = {"spec": {"unschedulable": True, "taints": [taint("a"), taint("soft", "PreferNoSchedule")]}}
    assert not taints.admits(node, {"spec": {}})
    bears = [{"key": "a", "operator": "Exists"}]
    assert not taints.admits(node, {"spec": {"tolerations": bears}})
    assert taints.admits(
        node, {"spec": {"tolerations": [*bears, {"key": UNSCHEDULABLE, "operator": "Exists"}]}}
    )
    assert taints.admits({}, {"spec": {}})


@pytest.mark.parametrize("nonsense", ["x", [1], [{}], {"a": 1}])
def test_what_nobody_has_checked_does_no_harm(kit: Any, nonsense: Any) -> None:
    ref = kit.node("n1")
    kit.pod("p", ip="10.0.0.1", node="n1", ready=True)
    kit.put(ref, {**kit.world.get(ref), "spec": {"taints": nonsense}})
    taints.plan(kit.world, ref, NOW)
    assert taints.leaving(kit.world, ref, NOW) == []
    assert taints.admits(kit.world.get(ref), {"spec": {"tolerations": nonsense}})


def test_pods_of_a_lost_node_are_first_not_ready_and_after_their_patience_replaced(kit: Any) -> None:
    lost, _ = kit.node("n1"), kit.node("n2")
    pod = kit.pod("p", ip="10.0.0.1", node="n1", ready=True)
    other = kit.pod("q", ip="10.0.0.2", node="n2", ready=True)
    lose(kit, lost)
    assert taints.tainted(kit.world) == [lost]
    assert taints.leaving(kit.world, lost, NOW + UNHEARD_SECONDS - 1) == []
    kit.carry_out(taints.leaving(kit.world, lost, NOW + UNHEARD_SECONDS))
    assert not is_ready(kit.world.get(pod))
    assert is_ready(kit.world.get(other))
    assert taints.leaving(kit.world, lost, NOW + PATIENCE - 1) == []
    kit.carry_out(taints.leaving(kit.world, lost, NOW + PATIENCE))
    gone = kit.world.get(pod)
    assert gone["metadata"]["deletionTimestamp"] == stamp(NOW + PATIENCE + 30)
    assert gone["status"]["podIP"] == "10.0.0.1"  # the node may still run it
    assert gone["status"]["conditions"][-1]["reason"] == "DeletionByTaintManager"
    assert taints.leaving(kit.world, lost, NOW + 2 * PATIENCE) == []


def test_a_pod_says_itself_how_patient_it_is(kit: Any) -> None:
    lost, _ = kit.node("n1"), kit.node("n2")
    bears = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}
    for name, toleration in (("stays", bears), ("hurries", {**bears, "tolerationSeconds": 5})):
        ref = kit.pod(name, ip="10.0.0.1", node="n1", ready=True)
        kit.world.get(ref)["spec"]["tolerations"] = [toleration]
    begun = kit.pod("waits", node="n1")
    lose(kit, lost)
    assert taints.leaving(kit.world, lost, NOW + 4) == []
    (update,) = taints.leaving(kit.world, lost, NOW + 5)
    assert update.ref.name == "hurries"
    kit.carry_out(taints.leaving(kit.world, lost, NOW + 10 * PATIENCE))
    assert kit.world.get(begun) is None  # it never ran
    assert "deletionTimestamp" not in kit.world.get(Ref("", "pods", "default", "stays"))["metadata"]


def test_a_persons_own_taint_ends_pods_at_once(kit: Any) -> None:
    ref = kit.node("n1")
    pod = kit.pod("p", ip="10.0.0.1", node="n1", ready=True)
    kit.world.get(pod)["spec"]["terminationGracePeriodSeconds"] = 7
    kit.put(ref, {**kit.world.get(ref), "spec": {"taints": [taint("drill", "NoExecute")]}})
    settle(kit, ref)
    kit.carry_out(taints.leaving(kit.world, ref, NOW))
    assert kit.world.get(pod)["metadata"]["deletionGracePeriodSeconds"] == 7


def test_when_nobody_is_ready_nobody_is_taken_away(kit: Any) -> None:
    refs = [kit.node("n1"), kit.node("n2")]
    kit.pod("p", ip="10.0.0.1", node="n1", ready=True)
    for ref in refs:
        lose(kit, ref)
    assert all(taints.leaving(kit.world, ref, NOW + 10 * PATIENCE) == [] for ref in refs)
    kit.put(refs[1], members.ready(kit.world.get(refs[1]), NOW))
    assert len(taints.leaving(kit.world, refs[0], NOW + 10 * PATIENCE)) == 1
