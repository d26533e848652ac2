"""A Deployment rolls over without losing more capacity than it may."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.reconcile import deployments, replicasets
from tsujiban.controller.world import PODS, REPLICA_SETS, Ref, is_ready, with_metadata


def settle(kit: Any, ref: Ref, *, ready: bool = True, floor: int = 0, ceiling: int = 99) -> None:
    """Plan and carry out until nothing is left to do, watching capacity all the while."""
    for _ in range(100):
        done = kit.carry_out(deployments.plan(kit.world, ref))
        for rs_ref, _ in list(kit.world.all(REPLICA_SETS)):
            done += kit.carry_out(replicasets.plan(kit.world, rs_ref))
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
    assert deployments.plan(kit.world, Ref("apps", "deployments", "default", "gone")) == []


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
