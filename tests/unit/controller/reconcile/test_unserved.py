"""What is not served is said."""

from __future__ import annotations

from tsujiban.controller.reconcile.unserved import without_effect
from tsujiban.controller.world import JOBS, PODS, STATEFUL_SETS


def test_what_is_not_served_is_said() -> None:
    (text,) = without_effect(STATEFUL_SETS, {"spec": {"volumeClaimTemplates": [{}], "replicas": 1}})
    assert text.startswith("spec.volumeClaimTemplates cannot be served")
    assert without_effect(JOBS, {"spec": {"backoffLimitPerIndex": 2, "maxFailedIndexes": 1}}) == []
    assert without_effect(STATEFUL_SETS, {"spec": {"replicas": 1}}) == []
    assert without_effect(PODS, {"spec": {}}) == []


def test_fields_of_pods_that_do_nothing_are_said_where_they_stand() -> None:
    container = {
        "name": "c",
        "stdin": True,
        "stdinOnce": True,
        "tty": True,
        "terminationMessagePath": "/var/x",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"limits": {"cpu": 1, "ephemeral-storage": 1}, "requests": {"cpu": 1}, "claims": [{}]},
        "ports": [{"containerPort": 80, "hostPort": 80}],
        "livenessProbe": {"terminationGracePeriodSeconds": 3},
        "securityContext": {"runAsUser": 0, "privileged": True, "capabilities": {"add": ["NET_ADMIN"]}},
        "restartPolicy": "Never",
    }
    pod = {
        "imagePullSecrets": [{"name": "x"}],
        "dnsPolicy": "Default",
        "containers": [container],
        "initContainers": [{"name": "i", "restartPolicy": "OnFailure"}],
        "securityContext": {"fsGroup": 1},
    }
    fields = [
        "dnsPolicy", "imagePullSecrets", "securityContext.fsGroup", "initContainers[0].restartPolicy",
        "containers[0].securityContext.runAsUser",
        "containers[0].securityContext.privileged", "containers[0].securityContext.capabilities",
        "containers[0].restartPolicy", "containers[0].resources.claims",
        "containers[0].resources.limits.ephemeral-storage", "containers[0].ports[0].hostPort",
    ]  # fmt: skip
    said = [f"spec.{field} is stored, and has no effect here" for field in fields]
    assert without_effect(PODS, {"spec": pod}) == said
    template = {"spec": {"template": {"spec": pod}}}
    assert (
        without_effect(JOBS, template)[0] == "spec.template.spec.dnsPolicy is stored, and has no effect here"
    )
    cron = {"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}
    assert len(without_effect(("batch", "cronjobs"), cron)) == len(fields)


def test_what_is_so_anyway_or_of_another_shape_is_not_said() -> None:
    granted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "securityContext": granted,
        "terminationMessagePath": "/dev/termination-log",
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        "resources": {"requests": {"cpu": "1"}},
    }
    pod = {"containers": [container], "initContainers": [{"restartPolicy": "Always"}], "securityContext": {}}
    assert without_effect(PODS, {"spec": {**pod, "dnsPolicy": "ClusterFirst", "affinity": {}}}) == []
    for odd in (
        {"containers": [1]},
        {"containers": "x"},
        {"containers": [{"ports": [1], "resources": 1}]},
        7,
    ):
        assert without_effect(("apps", "deployments"), {"spec": {"template": {"spec": odd}}}) == []
