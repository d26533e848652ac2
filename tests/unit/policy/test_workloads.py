from __future__ import annotations

import pytest
from tests.support.manifests import objects

from tsujiban.policy import workloads
from tsujiban.resources.kinds import core
from tsujiban.resources.kinds.meta import Object

TEMPLATE = """template:
  {metadata: {labels: {app: web}}, spec: {serviceAccountName: sa, containers: [{name: c, image: host}]}}"""
SELECTOR = "selector: {matchLabels: {app: web}}"
JOB_TEMPLATE = TEMPLATE.replace("containers", "restartPolicy: Never, containers")
WORKLOADS = {
    "Deployment": f"apiVersion: apps/v1\nspec: {{{SELECTOR}, {TEMPLATE}}}",
    "StatefulSet": f"apiVersion: apps/v1\nspec: {{serviceName: web, {SELECTOR}, {TEMPLATE}}}",
    "DaemonSet": f"apiVersion: apps/v1\nspec: {{{SELECTOR}, {TEMPLATE}}}",
    "ReplicaSet": f"apiVersion: apps/v1\nspec: {{{SELECTOR}, {TEMPLATE}}}",
    "ReplicationController": f"apiVersion: v1\nspec: {{selector: {{app: web}}, {TEMPLATE}}}",
    "Job": f"apiVersion: batch/v1\nspec: {{{JOB_TEMPLATE}}}",
    "CronJob": "apiVersion: batch/v1\nspec: "
    f"{{schedule: '* * * * *', jobTemplate: {{spec: {{{JOB_TEMPLATE}}}}}}}",
}


def workload(kind: str, name: str = "web", more: str = "") -> Object:
    text = f"kind: {kind}\nmetadata: {{name: {name}, namespace: x{more}}}\n{WORKLOADS[kind]}"
    return objects(text)[0].object


def pod(labels: str = "app: web", namespace: str = "x", name: str = "web") -> core.Pod:
    found = objects(
        f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}
        spec: {{containers: [{{name: c, image: host}}]}}
        """
    )[0].object
    assert isinstance(found, core.Pod)
    return found


@pytest.mark.parametrize("kind", WORKLOADS)
def test_every_kind_stands_for_a_pod_of_its_template(kind: str) -> None:
    ((source, made),) = workloads.stand_ins([workload(kind)])
    assert source.kind == kind
    assert (made.metadata.namespace, made.metadata.name) == ("x", "web")
    assert made.metadata.labels == {"app": "web"}
    assert made.spec.service_account_name == "sa"


@pytest.mark.parametrize("kind", WORKLOADS)
def test_a_workload_stands_back_for_pods_that_are_there(kind: str) -> None:
    assert not list(workloads.stand_ins([workload(kind), pod(name="web-1")]))


@pytest.mark.parametrize(("labels", "namespace"), [("app: other", "x"), ("app: web", "y")])
def test_pods_of_others_are_not_its_own(labels: str, namespace: str) -> None:
    deployment, other = workload("Deployment"), pod(labels, namespace, "p")
    assert [made.pod.metadata.name for made in workloads.stand_ins([deployment, other])] == ["web"]
    assert workloads.pods_of(deployment, [other]) == []


def test_the_pods_of_a_workload() -> None:
    mine = pod()
    assert workloads.pods_of(workload("Deployment"), [mine, pod("app: x", name="p")]) == [mine]
    assert workloads.pods_of(mine, [mine]) == []


@pytest.mark.parametrize(("controller", "count"), [("true", 1), ("false", 2)])
def test_what_a_controller_made_is_not_asked_again(controller: str, count: int) -> None:
    owner = f"{{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: {controller}}}"
    replicas = workload("ReplicaSet", "web-1", f", ownerReferences: [{owner}]")
    assert len(list(workloads.stand_ins([workload("Deployment"), replicas]))) == count
    assert len(list(workloads.stand_ins([replicas]))) == 1  # its controller is not in the files


def test_a_name_that_is_taken_gets_the_kind_behind_it() -> None:
    given = [pod("app: other"), workload("Deployment")]
    assert [made.pod.metadata.name for made in workloads.stand_ins(given)] == ["web-deployment"]
    both = [workload("Deployment"), workload("Job")]
    assert [made.pod.metadata.name for made in workloads.stand_ins(both)] == ["web", "web-job"]
