"""What a change of the world means to those who look, and how it is written down."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from tests.support.wait import PATIENCE

from tsujiban.controller import events, members, revocations
from tsujiban.controller.events import EVENTS, KEPT_SECONDS, Recorder, expired, of
from tsujiban.controller.loop import Change
from tsujiban.controller.reconcile.actions import Delete
from tsujiban.controller.world import (
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    Json,
    Ref,
    World,
    stamp,
)
from tsujiban.store.sqlite import SqliteStore

NOW = 1_800_000_000.0
POD = Ref(*PODS, "default", "web-1")


def pod(**parts: Any) -> Json:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": True}
    head = {"name": "web-1", "namespace": "default", "uid": "u", "ownerReferences": [owner]}
    return {"metadata": head | parts.pop("metadata", {}), "spec": parts.pop("spec", {}), **parts}


def container(state: Json, **more: Any) -> Json:
    return {"containerStatuses": [{"name": "main", "state": state, **more}]}


def world() -> World:
    made = World()
    made.put(Ref(*NAMESPACES, "", "default"), {"metadata": {"name": "default"}})
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "uid": "d",
        "controller": True,
    }
    head = {"name": "web", "namespace": "default", "uid": "rs", "ownerReferences": [owner]}
    made.put(Ref(*REPLICA_SETS, "default", "web"), {"metadata": head, "spec": {"replicas": 1}})
    head = {"name": "web", "namespace": "default", "uid": "d"}
    made.put(Ref(*DEPLOYMENTS, "default", "web"), {"metadata": head, "spec": {}})
    return made


def told(ref: Ref, old: Json | None, new: Json | None) -> list[tuple[str, str, str]]:
    return [(h.kind, h.reason, h.message) for h in of(world(), Change(ref, old, new, 1))]


def test_the_life_of_a_pod() -> None:
    running, later = {"running": {"startedAt": "1"}}, {"running": {"startedAt": "2"}}
    assert told(POD, None, pod()) == [("ReplicaSet", "SuccessfulCreate", "created pod web-1")]
    bound = pod(spec={"nodeName": "n1"})
    assert told(POD, pod(), bound) == [("Pod", "Scheduled", "assigned default/web-1 to n1")]
    up = {**bound, "status": container(running, ready=True)}
    assert told(POD, bound, up) == [("Pod", "Started", "started container main")]
    assert told(POD, up, up) == []
    again = {**bound, "status": container(later, ready=True)}
    assert told(POD, up, again) == [("Pod", "Started", "started container main")]
    sick = {**bound, "status": container(running, ready=False)}
    assert told(POD, up, sick) == [("Pod", "Unhealthy", "container main is not ready any more")]
    ending = {**up, "metadata": {**up["metadata"], "deletionTimestamp": stamp(NOW)}}
    assert told(POD, up, ending) == [("Pod", "Killing", "stopping the containers")]
    assert told(POD, ending, None) == [("ReplicaSet", "SuccessfulDelete", "deleted pod web-1")]


def test_what_goes_wrong_says_why() -> None:
    why = {"type": "PodScheduled", "status": "False", "message": "no ready node fits"}
    assert told(POD, pod(), pod(status={"conditions": [why]})) == [
        ("Pod", "FailedScheduling", "no ready node fits")
    ]
    limits = {"type": "tsujiban.io/LimitsEnforced", "status": "False", "message": "no cpu control group"}
    free = pod(status={"conditions": [limits]})
    assert told(POD, pod(), free) == [("Pod", "LimitsNotEnforced", "no cpu control group")]
    assert told(POD, free, free) == []
    image = {"waiting": {"reason": "ErrImagePull", "message": "image 'x': only \"host\" can be run"}}
    assert told(POD, pod(), pod(status=container(image))) == [
        ("Pod", "Failed", "container main: image 'x': only \"host\" can be run")
    ]
    config = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}}
    assert told(POD, pod(), pod(status=container(config))) == [
        ("Pod", "Failed", 'Error: secret "keys" not found')
    ]
    assert told(POD, pod(), pod(status=container({"waiting": {"reason": "ContainerCreating"}}))) == []
    crash = {"waiting": {"reason": "CrashLoopBackOff"}}
    assert [reason for _, reason, _ in told(POD, pod(), pod(status=container(crash)))] == ["BackOff"]
    failed = {"terminated": {"exitCode": 3}}
    assert told(POD, pod(), pod(status=container(failed))) == [
        ("Pod", "Failed", "container main ended with 3")
    ]
    assert told(POD, pod(), pod(status=container({"terminated": {"exitCode": 0}}))) == []
    assert told(POD, pod(), pod(status={"containerStatuses": "nonsense"})) == []


def test_a_deployment_and_a_node_have_theirs() -> None:
    ref = Ref(*REPLICA_SETS, "default", "web")
    new = world().get(ref)
    assert new is not None
    assert told(ref, None, new) == [
        ("Deployment", "ScalingReplicaSet", "scaled up replica set web from 0 to 1")
    ]
    node = Ref(*NODES, "", "n1")
    ready = members.ready({"metadata": {"name": "n1"}}, NOW)
    assert told(node, None, ready) == [("Node", "RegisteredNode", "node n1 is registered")]
    assert [r for _, r, _ in told(node, ready, members.unheard(ready, NOW))] == ["NodeNotReady"]
    closed = {**ready, "spec": {"unschedulable": True}}
    assert told(node, ready, closed) == [("Node", "NodeNotSchedulable", "node n1 is closed to new pods")]
    assert told(node, ready, None) == []


def test_what_is_said_again_is_counted_and_what_is_old_goes(tmp_path: Path) -> None:
    async def story() -> None:
        store = await SqliteStore.open(tmp_path / "store.db")
        recorder = Recorder(store)
        task = asyncio.create_task(recorder.run())
        bound = Change(POD, pod(), pod(spec={"nodeName": "n1"}), 1)
        elsewhere = Change(POD._replace(namespace="gone"), pod(metadata={"namespace": "gone"}), None, 1)
        for change in (bound, elsewhere, bound, Change(POD, None, pod(), 1)):
            recorder.observe(world(), change)
        async with asyncio.timeout(PATIENCE):
            while len(found := (await store.list(*EVENTS)).items) < 2:  # noqa: ASYNC110 - tells nobody
                await asyncio.sleep(0.01)
        task.cancel()
        await store.close()
        written = [msgspec.json.decode(one.value) for one in found]
        assert {(e["reason"], e["count"], e["metadata"]["namespace"]) for e in written} == {
            ("Scheduled", 2, "default"),
            ("SuccessfulCreate", 1, "default"),
        }
        event = next(e for e in written if e["reason"] == "Scheduled")
        assert event["involvedObject"] == {
            "kind": "Pod",
            "apiVersion": "v1",
            "namespace": "default",
            "name": "web-1",
            "uid": "u",
        }
        seen, ref = World(), Ref(*EVENTS, "default", event["metadata"]["name"])
        seen.put(ref, {**event, "lastTimestamp": stamp(NOW)})
        assert expired(seen, ref, NOW + KEPT_SECONDS) == []
        assert expired(seen, ref, NOW + KEPT_SECONDS + 1) == [Delete(ref)]
        seen.put(ref, {"metadata": {"name": "x"}, "lastTimestamp": "soon"})
        assert expired(seen, ref, NOW) == [Delete(ref)]

    asyncio.run(story())


def test_when_too_much_happens_some_of_it_is_not_told(tmp_path: Path) -> None:
    async def story() -> None:
        store = await SqliteStore.open(tmp_path / "store.db")
        recorder = Recorder(store)
        for number in range(events._WAITING + 5):
            recorder.observe(world(), Change(POD, pod(), pod(spec={"nodeName": f"n{number}"}), 1))
        assert recorder._queue.qsize() == events._WAITING
        await store.close()

    asyncio.run(story())


def test_lines_of_the_list_of_revoked_certificates_that_say_nothing_are_told_once() -> None:
    def listed(text: str) -> Json:
        head = {"name": "tsujiban-revoked", "namespace": "kube-system"}
        return {"metadata": head, "data": {"revoked": text}}

    bad, worse = listed("serial:1\nnonsense"), listed("x\ny")
    ((kind, reason, message),) = told(revocations.REF, None, bad)
    assert (kind, reason) == ("ConfigMap", "UnreadableEntry")
    assert "line 2: 'nonsense'" in message
    assert told(revocations.REF, bad, listed("serial:2\nnonsense")) == []
    assert "line 1: 'x'" in told(revocations.REF, bad, worse)[0][2]
    assert told(revocations.REF, worse, listed("")) == told(revocations.REF, worse, None) == []
    other = revocations.REF._replace(name="other")
    assert told(other, None, bad) == []


def test_a_job_tells_how_it_ends() -> None:
    ref = Ref("batch", "jobs", "default", "work")

    def job(*conditions: Json) -> Json:
        return {"metadata": {"name": "work", "uid": "j"}, "status": {"conditions": list(conditions)}}

    done = {"type": "Complete", "status": "True", "reason": "CompletionsReached"}
    lost = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}
    held = {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}
    free = {"type": "Suspended", "status": "False", "reason": "JobResumed", "message": "Job resumed"}
    assert told(ref, None, job()) == []
    assert told(ref, job(), job(done)) == [("Job", "Completed", "Job completed")]
    assert told(ref, job(done), job(done)) == []
    assert told(ref, job(), job(lost)) == [("Job", "DeadlineExceeded", "too long")]
    assert told(ref, job(), job(held)) == [("Job", "Suspended", "Job suspended")]
    assert told(ref, job(held), job(free)) == [("Job", "Resumed", "Job resumed")]


def test_a_set_that_claims_volumes_is_told_that_there_are_none() -> None:
    ref = Ref("apps", "statefulsets", "default", "db")
    new = {"metadata": {"name": "db", "uid": "s"}, "spec": {"volumeClaimTemplates": [{}]}}
    ((kind, reason, text),) = told(ref, None, new)
    assert (kind, reason) == ("StatefulSet", "FailedCreate")
    assert "cannot be served" in text
    assert told(ref, new, new) == []


def test_a_service_that_shares_an_address_is_told_so() -> None:
    service = {"metadata": {"name": "a", "namespace": "default"}}
    assert [events.shared(service, claim)[-2:] for claim in ("10.96.0.7", "port-30080")] == [
        (
            "ClusterIPAlreadyAllocated",
            "Cluster IP 10.96.0.7 was assigned to multiple services; please recreate service",
        ),
        ("PortAlreadyAllocated", "Port 30080 was assigned to multiple services; please recreate service"),
    ]
