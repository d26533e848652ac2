"""What runs pods beside Deployments, as people use it, with both kubectls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import MANIFESTS, WAIT, Kubectl

from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def works(kubectl: Kubectl) -> Iterator[Kubectl]:
    kubectl("create", "namespace", "works")
    kubectl("apply", "-f", str(MANIFESTS / "workloads.yaml"))
    yield kubectl
    kubectl("delete", "namespace", "works", "--wait=false")


def there(kubectl: Kubectl, *words: str, code: int = 0) -> str:
    return kubectl("-n", "works", *words, code=code)


def found(kubectl: Kubectl, *words: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(there(kubectl, "get", *words, "-o", "json"))["items"]
    return items


def uids(kubectl: Kubectl) -> list[str]:
    return [pod["metadata"]["uid"] for pod in found(kubectl, "pods", "-l", "app=collector")]


def environments(kubectl: Kubectl) -> list[Any]:
    return [pod["spec"]["containers"][0].get("env") for pod in found(kubectl, "pods", "-l", "app=collector")]


def test_daemons_run_everywhere_and_roll_over_and_back(works: Kubectl, old_kubectl: Kubectl) -> None:
    assert "successfully rolled out" in there(works, "rollout", "status", "ds/collector", WAIT)
    pods = found(works, "pods", "-l", "app=collector")
    assert sorted(pod["spec"]["nodeName"] for pod in pods) == ["node-1", "node-2"]
    title, row = there(works, "get", "ds", "collector").splitlines()
    assert title.split()[:6] == ["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE"]
    assert row.split()[1:6] == ["2"] * 5
    assert "Desired Number of Nodes Scheduled: 2" in there(works, "describe", "ds", "collector")
    assert until(lambda: "SuccessfulCreate" in there(works, "describe", "ds", "collector"), PATIENCE)
    works("drain", "node-2", "--ignore-daemonsets", "--pod-selector=app=collector", WAIT)
    works("uncordon", "node-2")
    assert uids(works) == [pod["metadata"]["uid"] for pod in pods]
    there(works, "set", "env", "ds/collector", "STEP=2")
    there(works, "annotate", "ds/collector", "kubernetes.io/change-cause=second", "--overwrite")
    assert "successfully rolled out" in there(old_kubectl, "rollout", "status", "ds/collector", WAIT)
    for kubectl in (works, old_kubectl):
        # a change of the annotation alone is no new revision to wait for
        assert until(lambda by=kubectl: history(by) == [["1", "first"], ["2", "second"]], PATIENCE)  # type: ignore[misc]
    assert "STEP" in there(works, "rollout", "history", "ds/collector", "--revision=2")
    assert "rolled back" in there(works, "rollout", "undo", "ds/collector")
    there(works, "rollout", "status", "ds/collector", WAIT)
    assert until(lambda: environments(works) == [None, None], PATIENCE)
    there(works, "delete", "ds", "collector", "--cascade=foreground", WAIT)
    assert found(works, "pods,controllerrevisions", "-l", "app=collector") == []


def history(kubectl: Kubectl) -> list[list[str]]:
    """Numbers and causes of the collector's revisions."""
    lines = there(kubectl, "rollout", "history", "ds/collector").splitlines()
    return [line.split() for line in lines if line[:1].isdecimal()]


def test_a_rollout_waits_until_what_is_ready_is_available(works: Kubectl, old_kubectl: Kubectl) -> None:
    there(works, "wait", "--for=jsonpath={.status.readyReplicas}=1", "deployment/slow", WAIT)
    title, row = there(works, "get", "deployment", "slow").splitlines()
    assert dict(zip(title.split(), row.split(), strict=True))["AVAILABLE"] == "0"
    for kubectl in (works, old_kubectl):
        text = there(kubectl, "rollout", "status", "deployment/slow", "--watch=false")
        assert "0 of 1 updated replicas are available" in text
    hurried = '{"spec":{"minReadySeconds":2,"template":{"metadata":{"labels":{"step":"2"}}}}}'
    there(works, "patch", "deployment", "slow", "-p", hurried)
    there(old_kubectl, "rollout", "status", "deployment/slow", WAIT)
    there(works, "wait", "--for=condition=Available", "deployment/slow", WAIT)


def test_jobs_end(works: Kubectl, old_kubectl: Kubectl) -> None:
    there(works, "wait", "--for=condition=complete", "job/counted", WAIT)
    there(works, "wait", "--for=condition=failed", "job/hopeless", WAIT)
    there(works, "wait", "--for=condition=failed", "job/unlucky", WAIT)
    there(works, "wait", "--for=delete", "job/stubborn", WAIT)  # it has succeeded, and goes at once
    rows = {row.split()[0]: row.split() for row in there(works, "get", "jobs").splitlines()}
    assert rows["NAME"] == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]
    assert rows["counted"][1:3] == ["Complete", "3/3"]
    assert rows["hopeless"][1:3] == ["Failed", "0/1"]
    assert rows["unlucky"][1:3] == ["Failed", "2/3"]
    indexes = "jsonpath={.status.completedIndexes} {.status.failedIndexes} {.status.conditions[-1:].reason}"
    assert there(works, "get", "job", "unlucky", "-o", indexes) == "0,2 1 FailedIndexes"
    pods = found(works, "pods", "-l", "job-name=counted")
    assert sorted(pod["metadata"]["name"].rpartition("-")[0] for pod in pods) == [
        f"counted-{index}" for index in range(3)
    ]
    assert {pod["status"]["phase"] for pod in pods} == {"Succeeded"}
    assert all("finalizers" not in pod["metadata"] for pod in pods)
    first = min(pod["metadata"]["name"] for pod in pods)
    assert there(works, "logs", first) == "index 0\n"
    assert "index 2" in there(works, "logs", "-l", "job-name=counted")
    for kubectl in (works, old_kubectl):
        text = there(kubectl, "describe", "job", "counted")
        assert "3 Succeeded" in text
    assert until(lambda: "Job completed" in there(works, "describe", "job", "counted"), PATIENCE)
    assert until(lambda: "BackoffLimitExceeded" in there(works, "describe", "job", "hopeless"), PATIENCE)
    assert "Exit Code:    3" in there(works, "describe", "pod", "-l", "job-name=hopeless")


def test_a_job_from_the_command_line(works: Kubectl) -> None:
    there(works, "create", "job", "once", "--image=host", "--", "sleep", "infinity")
    there(works, "wait", "--for=jsonpath={.status.ready}=1", "job/once", WAIT)
    refused = there(works, "patch", "job", "once", "-p", '{"spec":{"completions":2}}', code=1)
    assert "spec.completions: Invalid value: 2: field is immutable" in refused
    there(works, "patch", "job", "once", "-p", '{"spec":{"suspend":true}}')
    there(works, "wait", "--for=condition=Suspended", "job/once", WAIT)
    there(works, "delete", "job", "once", WAIT)
    assert until(lambda: found(works, "pods", "-l", "job-name=once") == [], PATIENCE)


def test_a_set_keeps_its_names_and_its_order(works: Kubectl, old_kubectl: Kubectl) -> None:
    there(works, "rollout", "status", "sts/web", WAIT)
    first, second = found(works, "pods", "-l", "app=web")
    assert [pod["metadata"]["name"] for pod in (first, second)] == ["web-0", "web-1"]
    assert first["metadata"]["creationTimestamp"] <= second["metadata"]["creationTimestamp"]
    assert there(works, "exec", "web-1", "--", "hostname") == "web-1\n"
    name = "web-0.web.works.svc.cluster.local"
    look = ("exec", "web-1", "--", "sh", "-c", f"until getent ahostsv4 {name}; do sleep 0.2; done")
    assert first["status"]["podIP"] in there(works, *look)
    assert there(works, "get", "sts", "web").splitlines()[1].split()[:2] == ["web", "2/2"]
    there(works, "scale", "sts", "web", "--replicas=3")
    there(works, "rollout", "status", "sts/web", WAIT)
    there(works, "scale", "sts", "web", "--replicas=1")
    assert until(lambda: len(found(works, "pods", "-l", "app=web")) == 1, PATIENCE)
    assert found(works, "pods", "-l", "app=web")[0]["metadata"]["uid"] == first["metadata"]["uid"]
    there(works, "set", "env", "sts/web", "STEP=2")
    assert "roll" in there(old_kubectl, "rollout", "status", "sts/web", WAIT)
    (pod,) = found(works, "pods", "-l", "app=web")
    assert pod["metadata"]["name"] == "web-0"
    assert pod["spec"]["containers"][0]["env"] == [{"name": "STEP", "value": "2"}]
    assert there(works, "rollout", "history", "sts/web").count("<none>") == 2
    there(works, "rollout", "undo", "sts/web")
    there(works, "rollout", "status", "sts/web", WAIT)
    assert "env" not in found(works, "pods", "-l", "app=web")[0]["spec"]["containers"][0]
    text = there(works, "describe", "sts", "web")
    assert "Pods Status:        1 Running / 0 Waiting / 0 Succeeded / 0 Failed" in text
    refused = there(works, "patch", "sts", "web", "-p", '{"spec":{"serviceName":"other"}}', code=1)
    assert "updates to statefulset spec for fields other than 'replicas', 'ordinals'" in refused


def test_jobs_come_by_the_clock(works: Kubectl) -> None:
    there(works, "wait", "--for=jsonpath={.status.lastSuccessfulTime}", "cronjob/tick", WAIT)
    there(works, "patch", "cronjob", "tick", "-p", '{"spec":{"suspend":true}}')
    title, row = there(works, "get", "cronjob", "tick").splitlines()
    assert title.split()[:4] == ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND"]
    assert row.split()[:5] == ["tick", "@every", "3s", "<none>", "True"]
    text = there(works, "describe", "cronjob", "tick")
    assert "Concurrency Policy:            Forbid" in text
    assert until(lambda: "created job tick-" in there(works, "describe", "cronjob", "tick"), PATIENCE)
    there(works, "create", "job", "by-hand", "--from=cronjob/tick")
    there(works, "wait", "--for=condition=complete", "job/by-hand", WAIT)
    there(works, "delete", "cronjob", "tick", WAIT)
    assert until(lambda: "tick" not in there(works, "get", "jobs", "-o", "name"), PATIENCE)


def test_a_pod_is_ready_when_its_gates_are_open_too(works: Kubectl) -> None:
    gate = "example.com/warm"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gated"},
        "spec": {
            "containers": [{"name": "main", "image": "host", "command": ["sleep", "1000"]}],
            "readinessGates": [{"conditionType": gate}],
        },
    }
    assert "Warning" not in works("-n", "works", "apply", "-f", "-", stdin=json.dumps(pod))
    there(works, "wait", "--for=condition=ContainersReady", "pod/gated", WAIT)
    ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}'
    assert there(works, "get", "pod/gated", "-o", ready) == "ReadinessGatesNotReady"
    assert there(works, "get", "pod/gated", "-o", "wide", "--no-headers").split()[-1] == "0/1"
    condition = {"status": {"conditions": [{"type": gate, "status": "True"}]}}
    there(works, "patch", "pod/gated", "--subresource=status", "-p", json.dumps(condition))
    there(works, "wait", "--for=condition=Ready", "pod/gated", WAIT)
    there(works, "delete", "pod", "gated", "--wait=false")


def test_pods_that_must_be_apart_are_and_one_too_many_says_why_it_waits(works: Kubectl) -> None:
    term = {"labelSelector": {"matchLabels": {"app": "apart"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    container = {"name": "main", "image": "host", "command": ["sleep", "1000"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "apart"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "apart"}},
            "template": {
                "metadata": {"labels": {"app": "apart"}},
                "spec": {"containers": [container], "affinity": affinity},
            },
        },
    }
    works("-n", "works", "apply", "-f", "-", stdin=json.dumps(deployment))
    why = "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
    assert until(lambda: why in there(works, "describe", "pods", "-l", "app=apart"), PATIENCE)
    nodes = [pod["spec"].get("nodeName", "") for pod in found(works, "pods", "-l", "app=apart")]
    assert sorted(nodes) == ["", "node-1", "node-2"]
    there(works, "delete", "deployment", "apart", "--wait=false")
