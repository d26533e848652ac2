"""How many pods may be taken away: counted as Kubernetes' disruption controller counts."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.reconcile import budgets
from tsujiban.controller.world import (
    BUDGETS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    Json,
    Ref,
    owner_reference,
    stamp,
    with_metadata,
)

NOW = 1_800_000_000.0
REF = Ref(*BUDGETS, "default", "b")


def budget(kit: Any, **spec: Any) -> Ref:
    spec = {"selector": {"matchLabels": {"app": "web"}}, **spec}
    head = {"name": "b", "namespace": "default", "generation": 3}
    found: Ref = kit.put(REF, {"metadata": head, "spec": spec})
    return found


def deployed(kit: Any, replicas: int, *, ready: int, name: str = "web") -> list[Ref]:
    """A Deployment with its ReplicaSet and pods, `ready` of which are."""
    deployment = kit.deployment(name, replicas)
    owner = kit.world.get(deployment)
    made = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": {"replicas": replicas}}
    head = {"name": f"{name}-1", "namespace": "default", "ownerReferences": [owner_reference(owner)]}
    owner = kit.world.get(kit.put(Ref(*REPLICA_SETS, "default", f"{name}-1"), {**made, "metadata": head}))
    pods = [kit.pod(f"{name}-{i}", ready=i < ready, app="web") for i in range(replicas)]
    for ref in pods:
        kit.world.put(ref, with_metadata(kit.world.get(ref), ownerReferences=[owner_reference(owner)]))
    return pods


def counted(kit: Any, now: float = NOW) -> Json:
    kit.carry_out(budgets.plan(kit.world, REF, now))
    assert budgets.plan(kit.world, REF, now + 1) == []
    status: Json = kit.world.get(REF)["status"]
    return status


def numbers(status: Json) -> tuple[int, int, int, int]:
    return (
        status["disruptionsAllowed"],
        status["currentHealthy"],
        status["desiredHealthy"],
        status["expectedPods"],
    )


@pytest.mark.parametrize(
    ("spec", "replicas", "ready", "expected"),
    [
        ({"minAvailable": 2}, 3, 3, (1, 3, 2, 3)),
        ({"minAvailable": 3}, 3, 3, (0, 3, 3, 3)),
        ({"minAvailable": 2}, 3, 1, (0, 1, 2, 3)),
        ({"minAvailable": "50%"}, 3, 3, (1, 3, 2, 3)),  # 1.5 is 2
        ({"maxUnavailable": 1}, 3, 3, (1, 3, 2, 3)),
        ({"maxUnavailable": 1}, 3, 2, (0, 2, 2, 3)),
        ({"maxUnavailable": "30%"}, 3, 3, (1, 3, 2, 3)),  # 0.9 is 1
        ({"maxUnavailable": "100%"}, 3, 3, (3, 3, 0, 3)),
        ({"minAvailable": 0}, 0, 0, (0, 0, 0, 0)),
        ({}, 3, 3, (0, 3, 0, 0)),
    ],
)
def test_counts(kit: Any, spec: Json, replicas: int, ready: int, expected: tuple[int, int, int, int]) -> None:
    budget(kit, **spec)
    deployed(kit, replicas, ready=ready)
    kit.pod("other", ready=True, app="db")
    assert numbers(counted(kit)) == expected


def test_what_is_wanted_is_what_the_controllers_say_not_how_many_there_are(kit: Any) -> None:
    budget(kit, maxUnavailable=1)
    pods = deployed(kit, 2, ready=2)
    kit.world.put(
        Ref(*DEPLOYMENTS, "default", "web"),
        {**kit.world.get(Ref(*DEPLOYMENTS, "default", "web")), "spec": {"replicas": 5}},
    )
    assert numbers(counted(kit)) == (0, 2, 4, 5)
    deployed(kit, 1, ready=1, name="more")
    assert numbers(counted(kit)) == (0, 3, 5, 6)
    kit.pod(
        "alone", ready=True, app="web"
    )  # nobody wants it: it is there, and does not count for what is wanted
    assert numbers(counted(kit)) == (0, 4, 5, 6)
    kit.world.drop(pods[0])
    assert counted(kit)["currentHealthy"] == 3


def test_who_cannot_say_how_many_lets_none_go(kit: Any) -> None:
    budget(kit, maxUnavailable=2)
    deployed(kit, 3, ready=3)
    assert counted(kit)["disruptionsAllowed"] == 2
    kit.world.drop(Ref(*DEPLOYMENTS, "default", "web"))
    status = counted(kit)
    assert status["disruptionsAllowed"] == 0
    condition = status["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("False", "SyncFailed")
    assert "Deployment web is not there" in condition["message"]


def test_pods_of_what_wants_no_number(kit: Any) -> None:
    budget(kit, minAvailable="50%")
    ref = kit.pod("job", ready=True, app="web")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": True}
    kit.world.put(ref, with_metadata(kit.world.get(ref), ownerReferences=[owner]))
    assert "Job j wants no number of pods" in counted(kit)["conditions"][0]["message"]
    kit.world.put(REF, {**kit.world.get(REF), "spec": {**kit.world.get(REF)["spec"], "minAvailable": 0}})
    assert numbers(counted(kit)) == (1, 1, 0, 1)


def test_what_goes_and_what_is_promised_is_not_healthy(kit: Any) -> None:
    budget(kit, minAvailable=1)
    pods = deployed(kit, 3, ready=3)
    kit.world.put(pods[0], with_metadata(kit.world.get(pods[0]), deletionTimestamp=stamp(NOW)))
    assert numbers(counted(kit)) == (1, 2, 1, 3)
    kit.world.get(REF)["status"]["disruptedPods"] = {name: stamp(NOW) for name in ("web-0", "web-1", "gone")}
    status = counted(kit)
    assert (numbers(status), set(status["disruptedPods"])) == ((0, 1, 1, 3), {"web-1"})
    assert budgets.promising(kit.world) == [REF]
    late = counted(kit, NOW + budgets.PROMISE_SECONDS + 1)
    assert numbers(late) == (1, 2, 1, 3)
    assert "disruptedPods" not in late
    assert budgets.promising(kit.world) == []


def test_the_condition_keeps_its_time_and_others_stay(kit: Any) -> None:
    budget(kit, minAvailable=1)
    deployed(kit, 2, ready=2)
    first = counted(kit)["conditions"][0]
    assert (first["type"], first["reason"]) == ("DisruptionAllowed", "SufficientPods")
    assert first["observedGeneration"] == counted(kit)["observedGeneration"] == 3
    other = {"type": "Mine", "status": "True"}
    kit.world.get(REF)["status"]["conditions"].insert(0, other)
    kit.pod("more", ready=True, app="web")
    assert counted(kit, NOW + 60)["conditions"] == [other, first]
    for ref, _ in list(kit.world.all(PODS)):
        kit.world.drop(ref)
    second = counted(kit, NOW + 90)["conditions"][1]
    assert (second["reason"], second["lastTransitionTime"]) == ("InsufficientPods", stamp(NOW + 90))
    assert budgets.plan(kit.world, Ref(*BUDGETS, "default", "none"), NOW) == []


def test_a_budget_that_says_nothing_counts_nothing(kit: Any) -> None:
    """It ended the controller, and whoever may make one in a namespace of their own may make such a one."""
    deployed(kit, 2, ready=2)
    kit.put(REF, {"metadata": {"name": "b", "namespace": "default", "generation": 1}})
    assert numbers(counted(kit)) == (0, 0, 0, 0)
