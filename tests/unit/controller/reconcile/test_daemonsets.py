"""A DaemonSet has one pod on each node that may run it, whatever happens to nodes, taints and templates."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.controller.reconcile.conftest import Kit

from tsujiban.controller.reconcile import daemonsets, placement, revisions, scheduler, taints
from tsujiban.controller.world import (
    DAEMON_SETS,
    NODES,
    PODS,
    Json,
    Ref,
    is_terminating,
    stamp,
    with_metadata,
)

NOW = 1_700_000_000.0


class Fleet:
    """A DaemonSet among nodes; its pods come up and end as nodes would have it."""

    def __init__(self, kit: Any, **spec: Any) -> None:
        self.kit = kit
        self.now = NOW
        self._names = itertools.count(1)
        pod_spec = {"containers": [{"name": "main", "image": "host"}], **spec.pop("pod", {})}
        obj = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "log", "namespace": "default", "generation": 1},
            "spec": {
                "selector": {"matchLabels": {"app": "log"}},
                "template": {"metadata": {"labels": {"app": "log"}}, "spec": pod_spec},
                **spec,
            },
        }
        self.ref = kit.put(Ref(*DAEMON_SETS, "default", "log"), obj)

    @property
    def world(self) -> Any:
        return self.kit.world

    def step(self) -> int:
        planned = daemonsets.plan(self.world, self.ref, self.now, lambda: f"{next(self._names):05}")
        done: int = self.kit.carry_out(planned.actions)
        return done

    def settle(self, *, ready: bool = True, watch: Any = lambda: None) -> None:
        """Until nothing is left to do; `watch` sees every step."""
        for _ in range(500):
            done = self.step()
            watch()
            for ref, pod in list(self.world.all(PODS)):
                if is_terminating(pod):
                    self.world.drop(ref)
                elif not pod.get("status", {}).get("podIP"):
                    placed = scheduler.plan(self.world, ref, lambda node, _: ("10.0.0.1",))
                    if not self.kit.carry_out(placed):
                        continue  # its node was closed before it was placed: it waits
                elif ready and pod["status"]["phase"] == "Pending":
                    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": stamp(self.now)}]
                    status = {**pod["status"], "phase": "Running", "conditions": conditions}
                    self.world.put(ref, {**pod, "status": status})
                else:
                    continue
                done += 1
                break  # one at a time, as in life
            if not done:
                return
        pytest.fail("the set never settles")

    def places(self) -> list[str]:
        return sorted(pod["spec"].get("nodeName", "") for _, pod in self.world.all(PODS))

    def change(self, **spec: Any) -> None:
        obj = self.world.get(self.ref)
        self.world.put(self.ref, {**obj, "spec": {**obj["spec"], **spec}})

    def template(self, argument: str) -> None:
        template = self.world.get(self.ref)["spec"]["template"]
        containers = [{"name": "main", "image": "host", "args": [argument]}]
        self.change(template={**template, "spec": {**template["spec"], "containers": containers}})

    def arguments(self) -> list[str]:
        found = (pod["spec"]["containers"][0].get("args", [""])[0] for _, pod in self.world.all(PODS))
        return sorted(found)

    def status(self) -> Json:
        found: Json = self.world.get(self.ref)["status"]
        return found


def taint(kit: Any, node: str, *taints_: tuple[str, str], unschedulable: bool = False) -> None:
    ref = Ref(*NODES, "", node)
    listed = [{"key": key, "effect": effect} for key, effect in taints_]
    kit.put(ref, {**kit.world.get(ref), "spec": {"taints": listed, "unschedulable": unschedulable}})


def test_one_on_each_node_and_one_more_for_a_new_node(kit: Any) -> None:
    fleet = Fleet(kit)
    kit.node("n1"), kit.node("n2")
    fleet.settle()
    assert fleet.places() == ["n1", "n2"]
    kit.node("n3")
    fleet.settle()
    assert fleet.places() == ["n1", "n2", "n3"]
    assert fleet.status() == {
        "currentNumberScheduled": 3,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 3,
        "numberReady": 3,
        "observedGeneration": 1,
        "updatedNumberScheduled": 3,
        "numberAvailable": 3,
    }


def test_a_pod_says_which_node_it_is_for_and_bears_what_daemons_bear(kit: Any) -> None:
    fleet = Fleet(kit, pod={"tolerations": [{"key": "own", "operator": "Exists"}]})
    kit.node("n1")
    fleet.step()
    ((_, pod),) = kit.world.all(PODS)
    assert placement.pinned(pod["spec"]) == "n1"
    borne = {(one["key"], one.get("effect")) for one in pod["spec"]["tolerations"]}
    assert {("own", None), (taints.NOT_READY, "NoExecute"), (taints.UNSCHEDULABLE, "NoSchedule")} <= borne
    assert pod["metadata"]["labels"][revisions.HASH] == revisions.digest_of(kit.world.get(fleet.ref))
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet"


def test_selector_affinity_and_taints_choose_the_nodes(kit: Any) -> None:
    term = {"matchExpressions": [{"key": "rack", "operator": "DoesNotExist"}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    fleet = Fleet(kit, pod={"nodeSelector": {"disk": "fast"}, "affinity": {"nodeAffinity": required}})
    kit.node("n1", disk="fast"), kit.node("n2"), kit.node("n3", disk="fast", rack="a")
    kit.node("n4", disk="fast"), kit.node("n5", disk="fast")
    taint(kit, "n4", ("own", "NoSchedule"))
    taint(kit, "n5", (taints.UNSCHEDULABLE, "NoSchedule"), unschedulable=True)  # a cordon is borne
    fleet.settle()
    assert fleet.places() == ["n1", "n5"]


def test_a_pod_that_runs_leaves_for_noexecute_and_not_for_noschedule(kit: Any) -> None:
    fleet = Fleet(kit)
    kit.node("n1"), kit.node("n2"), kit.node("n3")
    fleet.settle()
    taint(kit, "n1", ("own", "NoSchedule"))
    taint(kit, "n2", ("own", "NoExecute"))
    fleet.settle()
    assert fleet.places() == ["n1", "n3"]
    assert fleet.status()["desiredNumberScheduled"] == 2 - 1
    assert fleet.status()["numberMisscheduled"] == 1


def test_while_a_pod_ends_no_other_comes(kit: Any) -> None:
    fleet = Fleet(kit)
    kit.node("n1")
    fleet.settle()
    ((ref, pod),) = kit.world.all(PODS)
    kit.world.put(ref, with_metadata(pod, deletionTimestamp=stamp(NOW)))
    fleet.step()
    assert len(list(kit.world.all(PODS))) == 1
    fleet.settle()
    assert [found.name != ref.name for found, _ in kit.world.all(PODS)] == [True]


def test_a_pod_that_has_failed_is_replaced(kit: Any) -> None:
    fleet = Fleet(kit)
    kit.node("n1")
    fleet.settle()
    ((ref, pod),) = kit.world.all(PODS)
    kit.world.put(ref, {**pod, "status": {**pod["status"], "phase": "Failed"}})
    fleet.settle()
    assert [found.name != ref.name for found, _ in kit.world.all(PODS)] == [True]


@pytest.mark.parametrize(
    ("rolling", "least", "most"),
    [
        ({}, 3, 4),
        ({"maxUnavailable": 2}, 2, 4),
        ({"maxUnavailable": "50%"}, 2, 4),
        ({"maxSurge": 1, "maxUnavailable": 0}, 4, 5),
        ({"maxSurge": "100%", "maxUnavailable": 0}, 4, 8),
    ],
)
def test_rolling_over_keeps_within_its_bounds(kit: Any, rolling: Json, least: int, most: int) -> None:
    fleet = Fleet(kit, updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling})
    for number in range(4):
        kit.node(f"n{number}")
    fleet.settle()
    seen: set[tuple[int, int]] = set()

    def watch() -> None:
        pods = [pod for _, pod in kit.world.all(PODS)]
        seen.add(
            (
                sum(
                    pod.get("status", {}).get("phase") == "Running" for pod in pods if not is_terminating(pod)
                ),
                len(pods),
            )
        )

    fleet.template("2")
    fleet.settle(watch=watch)
    assert fleet.arguments() == ["2"] * 4
    assert min(ready for ready, _ in seen) >= least
    assert max(pods for _, pods in seen) <= most
    assert fleet.status()["updatedNumberScheduled"] == 4


def test_rolling_over_waits_for_what_is_not_available(kit: Any) -> None:
    fleet = Fleet(kit)
    for number in range(3):
        kit.node(f"n{number}")
    fleet.settle()
    fleet.template("2")
    fleet.settle(ready=False)
    assert fleet.arguments() == ["", "", "2"]
    assert fleet.status()["numberUnavailable"] == 1


def test_pods_are_available_after_their_time(kit: Any) -> None:
    fleet = Fleet(kit, minReadySeconds=30)
    kit.node("n1")
    fleet.settle()
    assert (fleet.status()["numberReady"], fleet.status().get("numberAvailable")) == (1, None)
    assert daemonsets.plan(kit.world, fleet.ref, fleet.now).again == NOW + 30
    fleet.now += 30
    fleet.settle()
    assert fleet.status()["numberAvailable"] == 1
    assert daemonsets.plan(kit.world, fleet.ref, fleet.now).again == math.inf


def test_on_delete_waits_for_a_person(kit: Any) -> None:
    fleet = Fleet(kit, updateStrategy={"type": "OnDelete"})
    kit.node("n1"), kit.node("n2")
    fleet.settle()
    fleet.template("2")
    fleet.settle()
    assert fleet.arguments() == ["", ""]
    assert fleet.status()["updatedNumberScheduled"] == 0
    kit.world.drop(next(iter(kit.world.all(PODS)))[0])
    fleet.settle()
    assert fleet.arguments() == ["", "2"]


def test_what_goes_is_left_alone(kit: Any) -> None:
    fleet = Fleet(kit)
    kit.node("n1")
    obj = kit.world.get(fleet.ref)
    kit.world.put(fleet.ref, with_metadata(obj, deletionTimestamp=stamp(NOW)))
    assert daemonsets.plan(kit.world, fleet.ref, NOW) == ([], math.inf)
    kit.world.drop(fleet.ref)
    assert daemonsets.plan(kit.world, fleet.ref, NOW) == ([], math.inf)


def _closed(node: Json, bears: set[str]) -> bool:
    return any(one["key"] not in bears for one in node["spec"].get("taints", ()))


TAINTS = st.sets(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["NoSchedule", "NoExecute"])))
A_NODE = st.tuples(st.sampled_from(["n1", "n2", "n3", "n4"]), st.sampled_from(["", "fast"]), TAINTS)
CHANGE = st.one_of(
    A_NODE,
    st.tuples(st.just("gone"), st.sampled_from(["n1", "n2", "n3", "n4"])),
    st.tuples(st.just("template"), st.sampled_from("xyz")),
    st.tuples(st.just("surge"), st.integers(0, 2)),
)


@settings(max_examples=60, deadline=None)
@given(
    changes=st.lists(CHANGE, min_size=1, max_size=8),
    selector=st.sampled_from([{}, {"disk": "fast"}]),
    bears=st.sets(st.sampled_from(["a", "b"])),
    steps=st.integers(0, 3),
)
def test_it_converges_to_one_pod_on_each_eligible_node(
    changes: list[Any], selector: dict[str, str], bears: set[str], steps: int
) -> None:
    kit = Kit()
    tolerations = [{"key": key, "operator": "Exists"} for key in sorted(bears)]
    fleet = Fleet(kit, pod={"nodeSelector": selector, "tolerations": tolerations})
    for change in changes:
        if change[0] == "gone":
            kit.world.drop(Ref(*NODES, "", change[1]))
            for ref, _ in kit.world.pods_on(change[1]):
                kit.world.drop(ref)
        elif change[0] == "template":
            fleet.template(change[1])
        elif change[0] == "surge":
            rolling = {"maxSurge": change[1], "maxUnavailable": 0 if change[1] else 1}
            fleet.change(updateStrategy={"rollingUpdate": rolling})
        else:
            name, disk, held = change
            kit.node(name, **({"disk": disk} if disk else {}))
            taint(kit, name, *sorted(held))
        for _ in range(steps):  # the next change comes in the middle
            fleet.step()
    fleet.settle()
    staying = {"NoExecute"}
    for ref, node in kit.world.all(NODES):
        here = [pod for _, pod in kit.world.pods_on(ref.name)]
        assert len(here) <= 1
        wanted = selector.items() <= node["metadata"]["labels"].items()
        unborne = {one["effect"] for one in node["spec"].get("taints", ()) if one["key"] not in bears}
        if wanted and not unborne:
            assert len(here) == 1
        elif not wanted or unborne & staying:
            assert not here
    obj = kit.world.get(fleet.ref)
    assert obj is not None
    template = revisions.digest_of(obj)
    runs = [pod for _, pod in kit.world.all(PODS) if pod["spec"].get("nodeName")]
    waiting = len(list(kit.world.all(PODS))) - len(runs)
    closed = [node for _, node in kit.world.all(NODES) if _closed(node, bears)]
    assert waiting <= len(closed)  # made for a node that was closed before they were placed
    eligible = fleet.status()["desiredNumberScheduled"]
    assert fleet.status()["updatedNumberScheduled"] == eligible
    assert sum(pod["metadata"]["labels"][revisions.HASH] == template for pod in runs) >= eligible
