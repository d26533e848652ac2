"""A StatefulSet has pods with names of their own, made and taken away in order."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.controller.reconcile.conftest import Kit

from tsujiban.controller.reconcile import revisions, statefulsets
from tsujiban.controller.reconcile.podtemplates import AT_ONCE
from tsujiban.controller.world import (
    CONTROLLER_REVISIONS,
    PODS,
    STATEFUL_SETS,
    Json,
    Ref,
    is_finished,
    is_ready,
    is_terminating,
    stamp,
    with_metadata,
)

NOW = 1_700_000_000.0
REF = Ref(*STATEFUL_SETS, "default", "web")


class Cluster:
    """A StatefulSet, and nodes that make its pods ready one by one, and end what was deleted."""

    def __init__(self, kit: Any, replicas: int = 3, **spec: Any) -> None:
        self.kit, self.world, self.now = kit, kit.world, NOW
        pod = {"containers": [{"name": "main", "image": "host"}], **spec.pop("pod", {})}
        obj = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "replicas": replicas,
                "serviceName": "web",
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                **spec,
            },
        }
        kit.put(REF, obj)
        self.made: list[str] = []

    def step(self) -> int:
        done: int = self.kit.carry_out(statefulsets.plan(self.world, REF, self.now).actions)
        self.made += [name for name in self.names() if name not in self.made]
        return done

    def settle(self, *, ready: bool = True, ends: bool = True, watch: Any = lambda: None) -> None:
        for _ in range(300):
            done = self.step()
            watch()
            for ref, pod in self.pods():
                if is_terminating(pod) and ends:
                    self.world.drop(ref)
                elif ready and not is_ready(pod) and not is_terminating(pod) and not is_finished(pod):
                    self.ready(ref)
                else:
                    continue
                done += 1
                break
            if not done:
                return
        pytest.fail("the set never settles")

    def ready(self, ref: Ref, *, is_it: bool = True) -> None:
        pod = self.world.get(ref)
        condition = {"type": "Ready", "status": str(is_it), "lastTransitionTime": stamp(self.now)}
        status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [condition]}
        self.world.put(ref, {**pod, "spec": {**pod["spec"], "nodeName": "n1"}, "status": status})

    def pods(self) -> list[tuple[Ref, Json]]:
        return sorted(self.world.all(PODS), key=lambda item: int(item[0].name.rpartition("-")[2]))

    def names(self) -> list[str]:
        return [ref.name for ref, _ in self.pods()]

    def change(self, **spec: Any) -> None:
        obj = self.world.get(REF)
        self.world.put(REF, {**obj, "spec": {**obj["spec"], **spec}})

    def template(self, argument: str) -> None:
        template = self.world.get(REF)["spec"]["template"]
        containers = [{"name": "main", "image": "host", "args": [argument]}]
        self.change(template={**template, "spec": {**template["spec"], "containers": containers}})

    def arguments(self) -> list[str]:
        return [pod["spec"]["containers"][0].get("args", [""])[0] for _, pod in self.pods()]

    @property
    def status(self) -> Json:
        found: Json = self.world.get(REF)["status"]
        return found


def test_one_after_the_other_each_with_its_name(kit: Any) -> None:
    cluster = Cluster(kit)
    cluster.settle(ready=False)
    assert cluster.names() == ["web-0"]
    cluster.settle()
    assert cluster.names() == ["web-0", "web-1", "web-2"]
    pod = cluster.pods()[1][1]
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-1", "web")
    labels = pod["metadata"]["labels"]
    assert (labels[statefulsets.POD_NAME], labels[statefulsets.POD_INDEX]) == ("web-1", "1")
    digest = revisions.digest_of(kit.world.get(REF))
    assert labels[revisions.HASH] == f"web-{digest}"
    assert cluster.status == {
        "observedGeneration": 1,
        "replicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "currentReplicas": 3,
        "updatedReplicas": 3,
        "currentRevision": f"web-{digest}",
        "updateRevision": f"web-{digest}",
        "collisionCount": 0,
    }


def test_all_at_once_when_the_set_says_so(kit: Any) -> None:
    cluster = Cluster(kit, podManagementPolicy="Parallel", ordinals={"start": 5})
    cluster.settle(ready=False)
    assert cluster.names() == ["web-5", "web-6", "web-7"]
    cluster.change(replicas=0)
    cluster.settle(ready=False, ends=False)
    assert cluster.names() == []  # none has begun


def test_two_thousand_million_are_made_as_they_find_a_place(kit: Any) -> None:
    cluster = Cluster(kit, podManagementPolicy="Parallel", replicas=2**31 - 1)
    kit.carry_out(statefulsets.plan(kit.world, REF, NOW).actions)
    assert len(cluster.names()) == AT_ONCE
    cluster.change(replicas=2)
    cluster.settle(ready=False, ends=False)
    assert cluster.names() == ["web-0", "web-1"]


def test_it_shrinks_from_the_end_and_waits_for_each(kit: Any) -> None:
    cluster = Cluster(kit)
    cluster.settle()
    cluster.change(replicas=1)
    cluster.settle(ends=False)
    assert [
        name for name, pod in zip(cluster.names(), cluster.pods(), strict=True) if is_terminating(pod[1])
    ] == ["web-2"]
    cluster.settle()
    assert cluster.names() == ["web-0"]


def test_who_is_not_well_holds_up_those_above_but_may_go_itself(kit: Any) -> None:
    cluster = Cluster(kit)
    cluster.settle()
    cluster.ready(Ref(*PODS, "default", "web-1"), is_it=False)
    cluster.ready(Ref(*PODS, "default", "web-2"), is_it=False)
    cluster.change(replicas=1)
    cluster.settle(ready=False)
    assert cluster.names() == ["web-0", "web-1", "web-2"]  # web-2 waits for web-1
    cluster.ready(Ref(*PODS, "default", "web-1"))
    cluster.settle(ready=False)
    assert cluster.names() == ["web-0"]


def test_those_that_have_failed_wait_for_no_other_that_has(kit: Any) -> None:
    cluster = Cluster(kit)
    cluster.settle()
    cluster.change(replicas=0)
    for ref, pod in cluster.pods()[:2]:
        cluster.world.put(ref, {**pod, "status": {"phase": "Failed"}})
    cluster.settle()
    assert cluster.names() == []


def test_a_name_is_never_there_twice(kit: Any) -> None:
    cluster = Cluster(kit)
    cluster.settle()
    ref, pod = cluster.pods()[1]
    kit.world.put(ref, with_metadata(pod, deletionTimestamp=stamp(NOW)))
    cluster.settle(ends=False)
    assert kit.world.get(ref)["metadata"]["uid"] == pod["metadata"]["uid"]
    cluster.settle()
    assert kit.world.get(ref)["metadata"]["uid"] != pod["metadata"]["uid"]


def test_a_pod_that_has_failed_is_made_anew(kit: Any) -> None:
    cluster = Cluster(kit)
    cluster.settle()
    ref, pod = cluster.pods()[0]
    kit.world.put(ref, {**pod, "status": {"phase": "Failed"}})
    cluster.settle()
    assert kit.world.get(ref)["metadata"]["uid"] != pod["metadata"]["uid"]
    assert len(cluster.pods()) == 3


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
def test_a_change_goes_from_the_highest_down_one_at_a_time(kit: Any, policy: str) -> None:
    cluster = Cluster(kit, podManagementPolicy=policy)
    cluster.settle()
    least = []
    cluster.template("2")
    cluster.settle(
        watch=lambda: least.append(
            sum(is_ready(pod) and not is_terminating(pod) for _, pod in cluster.pods())
        )
    )
    assert cluster.arguments() == ["2"] * 3
    assert min(least) == 2
    assert cluster.status["currentRevision"] == cluster.status["updateRevision"]
    assert len(list(kit.world.all(CONTROLLER_REVISIONS))) == 2


def test_a_change_stops_where_a_new_pod_is_not_well(kit: Any) -> None:
    cluster = Cluster(kit)
    cluster.settle()
    cluster.template("2")
    cluster.settle(ready=False)
    assert cluster.arguments() == ["", "", "2"]
    assert cluster.status["updatedReplicas"] == 1
    assert cluster.status["currentRevision"] != cluster.status["updateRevision"]


def test_below_the_partition_the_template_of_before_stays(kit: Any) -> None:
    cluster = Cluster(kit, updateStrategy={"rollingUpdate": {"partition": 2}})
    cluster.settle()
    cluster.template("2")
    cluster.settle()
    assert cluster.arguments() == ["", "", "2"]
    kit.world.drop(Ref(*PODS, "default", "web-0"))
    cluster.settle()
    assert cluster.arguments() == ["", "", "2"]
    assert (cluster.status["currentReplicas"], cluster.status["updatedReplicas"]) == (2, 1)
    cluster.change(updateStrategy={"rollingUpdate": {"partition": 0}})
    cluster.settle()
    assert cluster.arguments() == ["2"] * 3


def test_several_may_be_missing_when_the_set_says_so(kit: Any) -> None:
    rolling = {"rollingUpdate": {"maxUnavailable": 2}}
    cluster = Cluster(kit, replicas=5, podManagementPolicy="Parallel", updateStrategy=rolling)
    cluster.settle()
    cluster.template("2")
    cluster.step()
    assert sum(is_terminating(pod) for _, pod in cluster.pods()) == 2


def test_on_delete_waits_for_a_person(kit: Any) -> None:
    cluster = Cluster(kit, updateStrategy={"type": "OnDelete"})
    cluster.settle()
    cluster.template("2")
    cluster.settle()
    assert cluster.arguments() == [""] * 3
    kit.world.drop(Ref(*PODS, "default", "web-1"))
    cluster.settle()
    assert cluster.arguments() == ["", "2", ""]


def test_available_after_its_time(kit: Any) -> None:
    cluster = Cluster(kit, minReadySeconds=30)
    cluster.settle()
    assert cluster.names() == ["web-0"]
    assert statefulsets.plan(kit.world, REF, cluster.now).again == NOW + 30
    cluster.now += 30
    cluster.settle()
    assert cluster.names() == ["web-0", "web-1"]


def test_a_pod_that_was_left_behind_is_taken_up_and_anothers_is_not(kit: Any) -> None:
    cluster = Cluster(kit, replicas=1)
    stranger = kit.pod("web-0", app="other")
    cluster.settle()
    assert "ownerReferences" not in kit.world.get(stranger)["metadata"]
    kit.world.drop(stranger)
    left = kit.pod("web-0", app="web")
    cluster.settle()
    assert (
        kit.world.get(left)["metadata"]["ownerReferences"][0]["uid"] == kit.world.get(REF)["metadata"]["uid"]
    )


def test_claims_are_volumes_that_the_node_will_refuse(kit: Any) -> None:
    own = [{"name": "tmp", "emptyDir": {}}, {"name": "data", "emptyDir": {}}]
    claims = [{"metadata": {"name": "data"}, "spec": {}}]
    cluster = Cluster(kit, replicas=1, volumeClaimTemplates=claims, pod={"volumes": own})
    cluster.settle()
    ((_, pod),) = cluster.pods()
    assert pod["spec"]["volumes"] == [
        own[0],
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}},
    ]


def test_what_goes_is_left_alone(kit: Any) -> None:
    Cluster(kit)
    kit.world.put(REF, with_metadata(kit.world.get(REF), deletionTimestamp=stamp(NOW)))
    assert statefulsets.plan(kit.world, REF, NOW) == ([], math.inf)


CHANGE = st.one_of(
    st.tuples(st.just("replicas"), st.integers(0, 4)),
    st.tuples(st.just("template"), st.sampled_from("xyz")),
    st.tuples(st.just("partition"), st.integers(0, 3)),
    st.tuples(st.just("delete"), st.integers(0, 3)),
    st.tuples(st.just("fail"), st.integers(0, 3)),
)


@settings(max_examples=60, deadline=None)
@given(
    policy=st.sampled_from(["OrderedReady", "Parallel"]),
    changes=st.lists(CHANGE, min_size=1, max_size=8),
    steps=st.integers(0, 4),
)
def test_it_converges_to_its_names_and_its_templates(policy: str, changes: list[Any], steps: int) -> None:
    cluster = Cluster(Kit(), podManagementPolicy=policy)
    cluster.settle()
    for what, value in changes:
        ref = Ref(*PODS, "default", f"web-{value}")
        pod = cluster.world.get(ref)
        if what == "replicas":
            cluster.change(replicas=value)
        elif what == "template":
            cluster.template(value)
        elif what == "partition":
            cluster.change(updateStrategy={"rollingUpdate": {"partition": value}})
        elif pod is not None and what == "delete":
            cluster.world.put(ref, with_metadata(pod, deletionTimestamp=stamp(NOW)))
        elif pod is not None:
            cluster.world.put(ref, {**pod, "status": {"phase": "Failed"}})
        for _ in range(steps):
            cluster.step()
    cluster.settle()
    spec = cluster.world.get(REF)["spec"]
    assert cluster.names() == [f"web-{ordinal}" for ordinal in range(spec["replicas"])]
    wanted = spec["template"]["spec"]["containers"][0].get("args", [""])[0]
    partition = spec["updateStrategy"]["rollingUpdate"]["partition"]
    assert set(cluster.arguments()[partition:]) <= {wanted}
    if not partition:
        assert cluster.status["currentRevision"] == cluster.status["updateRevision"]
