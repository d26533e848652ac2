"""A Deployment rolls over without losing more capacity than it may."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tsujiban.controller.reconcile import deployments, replicasets
from tsujiban.controller.world import (
    PODS,
    REPLICA_SETS,
    Json,
    Ref,
    is_ready,
    is_terminating,
    stamp,
    with_metadata,
)

NOW = 1_700_000_000.0


def settle(kit: Any, ref: Ref, *, ready: bool = True, floor: int = 0, ceiling: int = 99) -> None:
    """Plan and carry out until nothing is left to do, watching capacity all the while."""
    for _ in range(100):
        done = kit.carry_out(deployments.plan(kit.world, ref, NOW).actions)
        for rs_ref, _ in list(kit.world.all(REPLICA_SETS)):
            done += kit.carry_out(replicasets.plan(kit.world, rs_ref, NOW).actions)
        pods = list(kit.world.all(PODS))
        assert len(pods) <= ceiling
        assert sum(is_ready(pod) for _, pod in pods) >= floor
        if ready:
            for pod_ref, pod in pods:
                if not is_ready(pod):
                    kit.ready(pod_ref)
                    done += 1
                    break  # one at a time, as in life
        if not done:
            return
    pytest.fail("the deployment never settles")


def change_template(kit: Any, ref: Ref) -> None:
    deployment = kit.world.get(ref)
    spec = deployment["spec"]
    template = {
        **spec["template"],
        "spec": {"containers": [{"name": "main", "image": "host", "args": ["2"]}]},
    }
    kit.put(ref, {**deployment, "spec": {**spec, "template": template}})


def test_makes_its_pods_with_labels_and_owner(kit: Any) -> None:
    ref = kit.deployment("web", 3)
    settle(kit, ref)
    pods = [pod for _, pod in kit.world.all(PODS)]
    assert len(pods) == 3
    for pod in pods:
        assert pod["metadata"]["labels"]["app"] == "web"
        assert deployments.HASH_LABEL in pod["metadata"]["labels"]
        assert pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
    status = kit.world.get(ref)["status"]
    assert status["readyReplicas"] == status["updatedReplicas"] == 3
    assert [c["status"] for c in status["conditions"]] == ["True", "True"]


def test_rolling_update_keeps_within_its_bounds(kit: Any) -> None:
    ref = kit.deployment("web", 4, strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}})
    settle(kit, ref)
    change_template(kit, ref)
    settle(kit, ref, floor=3, ceiling=5)
    pods = [pod for _, pod in kit.world.all(PODS)]
    assert len(pods) == 4
    assert all(pod["spec"]["containers"][0]["args"] == ["2"] for pod in pods)


def test_rolling_update_waits_while_new_pods_are_not_ready(kit: Any) -> None:
    ref = kit.deployment("web", 4, strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    settle(kit, ref)
    change_template(kit, ref)
    settle(kit, ref, ready=False, floor=4, ceiling=5)
    ready = [pod for _, pod in kit.world.all(PODS) if is_ready(pod)]
    assert len(ready) == 4
    assert all("args" not in pod["spec"]["containers"][0] for pod in ready)


class Slow:
    """A Deployment whose pods are ready at once, and available `minReadySeconds` later."""

    def __init__(self, kit: Any, seconds: int) -> None:
        self.kit = kit
        self.now = NOW
        rolling = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        self.ref: Ref = kit.deployment("web", 2, minReadySeconds=seconds, strategy=rolling)

    def settle(self) -> float:
        """All that may be done at this time; when there will be more to do."""
        world = self.kit.world
        for _ in range(50):
            planned = deployments.plan(world, self.ref, self.now)
            done = self.kit.carry_out(planned.actions)
            for replica_set, _ in list(world.all(REPLICA_SETS)):
                done += self.kit.carry_out(replicasets.plan(world, replica_set, self.now).actions)
            for pod_ref, pod in list(world.all(PODS)):
                if not is_ready(pod):
                    condition = {"type": "Ready", "status": "True", "lastTransitionTime": stamp(self.now)}
                    world.put(pod_ref, {**pod, "status": {"conditions": [condition]}})
                    done += 1
            if not done:
                return planned.again
        pytest.fail("the deployment never settles")

    @property
    def status(self) -> Json:
        found: Json = self.kit.world.get(self.ref)["status"]
        return found

    def templates(self) -> list[Any]:
        """The arguments of the pods, of which an old one has none."""
        pods = [pod for _, pod in self.kit.world.all(PODS) if not is_terminating(pod)]
        return [pod["spec"]["containers"][0].get("args") for pod in pods]


def test_a_pod_counts_when_it_was_ready_for_long_enough(kit: Any) -> None:
    """`minReadySeconds` had no effect: what was ready was available, and the next pod replaced."""
    slow = Slow(kit, 30)
    assert slow.settle() == NOW + 30
    assert (slow.status["readyReplicas"], slow.status["availableReplicas"]) == (2, 0)
    assert slow.status["unavailableReplicas"] == 2
    assert [c["status"] for c in slow.status["conditions"] if c["type"] == "Available"] == ["False"]
    slow.now += 30
    assert slow.settle() == math.inf
    assert (slow.status["availableReplicas"], slow.status["unavailableReplicas"]) == (2, 0)
    change_template(kit, slow.ref)
    for old in (2, 1):  # one new pod at a time, and the next when that is available
        assert slow.settle() == slow.now + 30
        assert slow.templates().count(None) == old
        assert slow.status["availableReplicas"] == 2
        slow.now += 30
    slow.settle()
    assert slow.templates() == [["2"], ["2"]]


def test_an_old_pod_that_never_was_available_is_not_waited_for(kit: Any) -> None:
    """As Kubernetes: who undoes what has just begun is not held up by `minReadySeconds`."""
    slow = Slow(kit, 600)
    slow.settle()
    slow.now += 600
    slow.settle()
    before = kit.world.get(slow.ref)["spec"]
    change_template(kit, slow.ref)
    slow.settle()
    assert slow.templates().count(["2"]) == 1
    kit.put(slow.ref, {**kit.world.get(slow.ref), "spec": before})
    slow.settle()
    assert slow.templates() == [None, None]


def test_old_pods_stay_until_others_stand_in_for_them(kit: Any) -> None:
    """Ready is better than nothing: old pods that were not available yet do not go all at once."""
    slow = Slow(kit, 30)
    slow.settle()
    slow.now += 5
    change_template(kit, slow.ref)
    slow.settle()
    assert slow.templates().count(None) == 2


def test_the_patience_of_a_deployment_is_its_current_replica_sets(kit: Any) -> None:
    slow = Slow(kit, 30)
    slow.settle()
    deployment = kit.world.get(slow.ref)
    kit.put(slow.ref, {**deployment, "spec": {**deployment["spec"], "minReadySeconds": 0}})
    assert slow.settle() == math.inf
    ((_, replica_set),) = kit.world.all(REPLICA_SETS)
    assert replica_set["spec"]["minReadySeconds"] == 0
    assert slow.status["availableReplicas"] == replica_set["status"]["availableReplicas"] == 2


def test_recreate_never_runs_two_templates_at_once(kit: Any) -> None:
    ref = kit.deployment("web", 2, strategy={"type": "Recreate"})
    settle(kit, ref)
    change_template(kit, ref)
    settle(kit, ref, ceiling=2)
    assert all(pod["spec"]["containers"][0]["args"] == ["2"] for _, pod in kit.world.all(PODS))
    assert len(list(kit.world.all(PODS))) == 2


@pytest.mark.parametrize("replicas", [0, 1, 5])
def test_scales(kit: Any, replicas: int) -> None:
    ref = kit.deployment("web", 3)
    settle(kit, ref)
    deployment = kit.world.get(ref)
    kit.put(ref, {**deployment, "spec": {**deployment["spec"], "replicas": replicas}})
    settle(kit, ref)
    assert len(list(kit.world.all(PODS))) == replicas


def test_zero_surge_and_zero_unavailable_still_moves(kit: Any) -> None:
    ref = kit.deployment("web", 1, strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}})
    settle(kit, ref)
    change_template(kit, ref)
    settle(kit, ref)
    assert [pod["spec"]["containers"][0].get("args") for _, pod in kit.world.all(PODS)] == [["2"]]


def test_a_missing_deployment_asks_for_nothing(kit: Any) -> None:
    assert deployments.plan(kit.world, Ref("apps", "deployments", "default", "gone"), NOW) == ([], math.inf)


def test_a_replica_set_whose_marks_were_removed_is_an_old_one(kit: Any) -> None:
    ref = kit.deployment("web", 1, revisionHistoryLimit=0)
    settle(kit, ref)
    ((rs_ref, rs),) = kit.world.all(REPLICA_SETS)
    bare = {key: value for key, value in rs["metadata"].items() if key not in ("labels", "annotations")}
    kit.put(Ref(*REPLICA_SETS, "default", "bare"), {**rs, "metadata": {**bare, "name": "bare"}})
    kit.world.drop(rs_ref)
    settle(kit, ref)
    assert [found.name for found, _ in kit.world.all(REPLICA_SETS)] == [rs_ref.name]


def annotate(kit: Any, ref: Ref, **annotations: str) -> None:
    kit.put(ref, with_metadata(kit.world.get(ref), annotations=annotations))


def revisions(kit: Any) -> list[str]:
    sets = [obj for _, obj in kit.world.all(REPLICA_SETS)]
    return sorted(obj["metadata"]["annotations"][deployments.REVISION] for obj in sets)


def test_a_template_of_before_is_the_newest_revision_again(kit: Any) -> None:
    ref = kit.deployment("web", 2)
    settle(kit, ref)
    before = kit.world.get(ref)["spec"]["template"]
    change_template(kit, ref)
    settle(kit, ref)
    assert revisions(kit) == ["1", "2"]
    deployment = kit.world.get(ref)
    (container,) = before["spec"]["containers"]
    written = {**before, "spec": {"containers": [{**container, "resources": {}}]}}  # as kubectl rollout undo
    kit.put(ref, {**deployment, "spec": {**deployment["spec"], "template": written}})
    settle(kit, ref)
    assert revisions(kit) == ["2", "3"]
    assert kit.world.get(ref)["metadata"]["annotations"][deployments.REVISION] == "3"
    assert len(list(kit.world.all(PODS))) == 2


def test_a_cause_is_kept_with_its_revision(kit: Any) -> None:
    ref = kit.deployment("web", 1)
    annotate(kit, ref, cause="first")
    settle(kit, ref)
    annotate(kit, ref, cause="told later")
    settle(kit, ref)
    (replica_set,) = [obj for _, obj in kit.world.all(REPLICA_SETS)]
    assert replica_set["metadata"]["annotations"]["cause"] == "told later"


def test_a_paused_deployment_does_not_roll(kit: Any) -> None:
    ref = kit.deployment("web", 2)
    settle(kit, ref)
    change_template(kit, ref)
    deployment = kit.world.get(ref)
    kit.put(ref, {**deployment, "spec": {**deployment["spec"], "paused": True}})
    settle(kit, ref)
    assert revisions(kit) == ["1"]
    deployment = kit.world.get(ref)
    kit.put(ref, {**deployment, "spec": {**deployment["spec"], "paused": False}})
    settle(kit, ref)
    assert revisions(kit) == ["1", "2"]


@pytest.mark.parametrize(
    "strategy",
    ["x", 1, [], {"rollingUpdate": "x"}, {"rollingUpdate": {"maxSurge": "x", "maxUnavailable": []}}],
)
def test_a_strategy_of_another_shape_is_the_usual_one(strategy: Any) -> None:
    assert deployments._bounds({"spec": {"strategy": strategy}}, 4) == deployments._bounds({"spec": {}}, 4)


def test_a_revision_of_thousands_of_digits_is_none(kit: Any) -> None:
    """Whoever may annotate a replica set ended the controller: Python refuses to read such a number."""
    ref = kit.deployment("web", 1)
    settle(kit, ref)
    ((rs_ref, _),) = kit.world.all(REPLICA_SETS)
    annotate(kit, rs_ref, **{deployments.REVISION: "9" * 5000})
    settle(kit, ref)
    assert revisions(kit) == ["1"]
