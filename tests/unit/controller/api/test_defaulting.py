from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tsujiban.controller.api import defaulting
from tsujiban.resources import load
from tsujiban.resources.registry import KINDS, UnknownKind, kind_for, resolve

ROOT = Path(__file__).parents[4]
MANIFESTS = sorted([*ROOT.glob("examples/**/*.yaml"), *ROOT.glob("tests/system/**/manifests/**/*.yaml")])


def filled(word: str, **fields: Any) -> dict[str, Any]:
    kind = resolve(word)
    document = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "a"}, **fields}
    before = copy.deepcopy(document)
    found = defaulting.filled(document, kind)
    assert document == before
    assert defaulting.filled(found, kind) == found
    return found


def container(**fields: Any) -> dict[str, Any]:
    given = {"containers": [{"name": "c", "image": "i:1", **fields}]}
    found: dict[str, Any] = filled("pod", spec=given)["spec"]["containers"][0]
    return found


def test_storage() -> None:
    assert filled("pvc", spec={})["spec"] == {"volumeMode": "Filesystem"}
    retained = {"volumeMode": "Block", "persistentVolumeReclaimPolicy": "Retain"}
    assert filled("pv", spec={"volumeMode": "Block"})["spec"] == retained


def test_storage_is_pending_until_somebody_says_otherwise() -> None:
    for word in ("pvc", "pv"):
        assert filled(word, spec={})["status"] == {"phase": "Pending"}
        assert filled(word, status={"phase": "Bound"})["status"] == {"phase": "Bound"}


def test_a_pod() -> None:
    spec = filled("pod", spec={"containers": []})["spec"]
    assert spec == {
        "containers": [],
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "enableServiceLinks": True,
    }
    named = filled("pod", spec={"serviceAccountName": "web", "restartPolicy": "Never"})["spec"]
    assert (named["serviceAccount"], named["restartPolicy"]) == ("web", "Never")


def test_a_container() -> None:
    found = container(ports=[{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}])
    assert [port["protocol"] for port in found["ports"]] == ["TCP", "UDP"]
    assert found["terminationMessagePath"] == "/dev/termination-log"
    assert found["terminationMessagePolicy"] == "File"
    probed = container(readinessProbe={"httpGet": {"port": 80}, "periodSeconds": 3})["readinessProbe"]
    assert probed == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 3,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    variables = container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}, {"name": "B"}])
    assert variables["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("registry:5000/a", "Always"),
        ("registry:5000/a:1", "IfNotPresent"),
        ("a@sha256:00", "IfNotPresent"),
    ],
)
def test_images_that_may_change_are_pulled(image: str, policy: str) -> None:
    assert container(image=image)["imagePullPolicy"] == policy


def test_volumes() -> None:
    sources = [{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "ca"}}]
    volumes = [{"name": "a", "configMap": {"name": "c"}}, {"name": "b", "projected": {"sources": sources}}]
    found = filled("pod", spec={"volumes": volumes})["spec"]["volumes"]
    assert found[0]["configMap"]["defaultMode"] == 420
    assert found[1]["projected"]["defaultMode"] == 420
    assert found[1]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600


def test_a_deployment() -> None:
    spec = filled("deployment", spec={"template": {"spec": {"containers": []}}})["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    rolling = {"maxUnavailable": "25%", "maxSurge": "25%"}
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert spec["template"]["spec"]["restartPolicy"] == "Always"
    assert "serviceAccountName" not in spec["template"]["spec"]  # that is admission's, of pods
    recreated = filled("deployment", spec={"strategy": {"type": "Recreate"}, "replicas": 0})["spec"]
    assert (recreated["strategy"], recreated["replicas"]) == ({"type": "Recreate"}, 0)
    some = filled("deployment", spec={"strategy": {"rollingUpdate": {"maxSurge": 1}}})["spec"]["strategy"]
    assert some["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": 1}


def test_other_workloads() -> None:
    assert filled("replicaset", spec={})["spec"]["replicas"] == 1
    assert filled("sts", spec={})["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 0}
    assert filled("ds", spec={})["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 1
    job = filled("job", spec={})["spec"]
    assert (job["completions"], job["parallelism"], job["backoffLimit"]) == (1, 1, 6)
    assert "completions" not in filled("job", spec={"parallelism": 3})["spec"]
    cron = filled("cronjob", spec={"jobTemplate": {"spec": {}}})["spec"]
    assert (cron["concurrencyPolicy"], cron["jobTemplate"]["spec"]["backoffLimit"]) == ("Allow", 6)


def test_a_service() -> None:
    spec = filled("service", spec={"ports": [{"port": 80}, {"port": 53, "targetPort": "dns"}]})["spec"]
    assert [port["targetPort"] for port in spec["ports"]] == [80, "dns"]
    assert {port["protocol"] for port in spec["ports"]} == {"TCP"}
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == (
        "ClusterIP",
        "None",
        "Cluster",
    )
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert filled("service", spec={"clusterIP": "None"})["spec"]["clusterIPs"] == ["None"]
    outside = filled("service", spec={"type": "ExternalName", "externalName": "x"})["spec"]
    assert outside == {"type": "ExternalName", "externalName": "x", "sessionAffinity": "None"}


def test_policies_and_rights() -> None:
    assert filled("netpol", spec={})["spec"]["policyTypes"] == ["Ingress"]
    both = filled("netpol", spec={"egress": [{"ports": [{"port": 53}]}]})["spec"]
    assert both["policyTypes"] == ["Ingress", "Egress"]
    assert both["egress"][0]["ports"][0]["protocol"] == "TCP"
    given = [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]
    binding = filled("rolebinding", subjects=given, roleRef={"kind": "Role", "name": "r"})
    assert [subject.get("apiGroup") for subject in binding["subjects"]] == ["rbac.authorization.k8s.io", None]
    assert binding["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert filled("secret")["type"] == "Opaque"
    written = filled("secret", data={"a": "MQ==", "b": "Mg=="}, stringData={"b": "three", "c": ""})
    assert written["data"] == {"a": "MQ==", "b": "dGhyZWU=", "c": ""}
    assert "stringData" not in written
    for odd in ({"stringData": {"a": 1}}, {"stringData": "x"}, {"data": "x", "stringData": {"a": "b"}}):
        assert filled("secret", **odd) == {**filled("secret"), **odd}  # for validation to refuse
    assert filled("namespace")["metadata"]["labels"] == {"kubernetes.io/metadata.name": "a"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.kind}.{kind.group}")
@pytest.mark.parametrize(
    "odd", [None, 1, "x", [], [1], {"template": 1, "ports": [1], "containers": {"a": 1}}]
)
def test_what_makes_no_sense_is_left_to_validation(kind: Any, odd: Any) -> None:
    document = {"metadata": {"name": "a"}, "spec": odd, "subjects": odd, "roleRef": odd}
    defaulting.filled(document, kind)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_no_default_is_found_fault_with(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        try:
            kind = kind_for(document["apiVersion"], document["kind"])
        except (UnknownKind, TypeError, KeyError):
            continue
        before = [finding.message for finding in load.check(document).findings]
        assert [f.message for f in load.check(defaulting.filled(document, kind)).findings] == before


def test_what_is_told_of_resources_has_a_divisor_and_requests_follow_limits() -> None:
    found = container(
        env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
        resources={"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}},
    )
    assert found["env"][0]["valueFrom"]["resourceFieldRef"]["divisor"] == "0"
    assert found["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    assert "requests" not in container(resources={})["resources"]
