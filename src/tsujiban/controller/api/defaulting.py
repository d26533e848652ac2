"""What Kubernetes' own server writes into the fields that a client leaves out, of Kubernetes' own kinds.

Clients expect to read it back: `kubectl describe` prints it, and what compares (`kubectl diff`, Argo CD,
Terraform) knows these very values. They mean what an absent field means to us (`resources.defaults`), so
objects that were stored without them are as good. Pure: makes a new object, and changes none.
Source: Kubernetes API reference, "Workload resources", "Service resources", the default of each field.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from tsujiban.resources.kinds.rbac import GROUP as RBAC
from tsujiban.resources.registry import Kind

Json = dict[str, Any]

_FILE_MODE = 0o644
_NO_LIMIT = 2**31 - 1
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def filled(document: Json, kind: Kind) -> Json:
    """The object with its defaults."""
    fill = _KINDS.get((kind.group, kind.plural))
    return document if fill is None else fill(document)


def _or(given: Any, **defaults: Any) -> Any:
    """A map with defaults behind what is given; what is no map is left for validation to refuse."""
    return {**defaults, **given} if isinstance(given, dict) else given


def _within(value: Any, change: Callable[[Any], Any], *path: str) -> Any:
    """A copy with the maps at a path changed; a list on the way has each of its items changed."""
    if isinstance(value, list):
        return [_within(item, change, *path) for item in value]
    if not path:
        return change(value)
    name, *rest = path
    if not isinstance(value, dict) or name not in value:
        return value
    return {**value, name: _within(value[name], change, *rest)}


def _spec(fill: Callable[[Any], Any]) -> Callable[[Json], Json]:
    def change(document: Json) -> Json:
        result: Json = _within(document, fill, "spec")
        return result

    return change


def _pending(fill: Callable[[Json], Json]) -> Callable[[Json], Json]:
    """Storage waits until somebody says otherwise: `kubectl describe` shows the phase as it is written."""

    def change(document: Json) -> Json:
        status = document.get("status")
        status = {"phase": "Pending", **status} if isinstance(status, dict) else {"phase": "Pending"}
        return {**fill(document), "status": status}

    return change


def _claim_spec(spec: Any) -> Any:
    return _or(spec, volumeMode="Filesystem")


def _volume_spec(spec: Any) -> Any:
    return _or(spec, volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")


# ---------------------------------------------------------------- pods


def _pod_spec(spec: Any) -> Any:
    spec = _or(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        securityContext={},
        terminationGracePeriodSeconds=30,
    )
    spec = _within(spec, _container, "containers")
    spec = _within(spec, _container, "initContainers")
    return _within(spec, _volume, "volumes")


def _pod(spec: Any) -> Any:
    """What admission adds to a pod, and not to the template of one."""
    spec = _pod_spec(spec)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") if isinstance(spec, dict) else ""
    account = account or "default"
    for containers in ("containers", "initContainers"):
        spec = _within(spec, _requests, containers, "resources")
    return _or(spec, serviceAccountName=account, serviceAccount=account, enableServiceLinks=True)


def _requests(resources: Any) -> Any:
    """Who says only what a container may have at most means as much as its share."""
    limits = resources.get("limits") if isinstance(resources, dict) else None
    if not isinstance(limits, dict) or not limits:
        return resources
    return {**resources, "requests": _or(resources.get("requests", {}), **limits)}


def _container(container: Any) -> Any:
    image = container.get("image") if isinstance(container, dict) else ""
    container = _or(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=_pull_policy(image) if isinstance(image, str) else "Always",
    )
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        container = _within(container, _probe, probe)
    value = ("env", "valueFrom")
    container = _within(container, lambda found: _or(found, apiVersion="v1"), *value, "fieldRef")
    container = _within(container, lambda found: _or(found, divisor="0"), *value, "resourceFieldRef")
    return _within(container, lambda port: _or(port, protocol="TCP"), "ports")


def _pull_policy(image: str) -> str:
    """Always for what may be another image tomorrow."""
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _probe(probe: Any) -> Any:
    return _within(_or(probe, **_PROBE), lambda found: _or(found, path="/", scheme="HTTP"), "httpGet")


def _volume(volume: Any) -> Any:
    for source in ("configMap", "secret", "downwardAPI", "projected"):
        volume = _within(volume, lambda found: _or(found, defaultMode=_FILE_MODE), source)
    volume = _within(volume, lambda found: _or(found, type=""), "hostPath")
    for holder in (("downwardAPI",), ("projected", "sources", "downwardAPI")):
        volume = _within(volume, lambda found: _or(found, apiVersion="v1"), *holder, "items", "fieldRef")
        volume = _within(volume, lambda found: _or(found, divisor="0"), *holder, "items", "resourceFieldRef")
    token = ("projected", "sources", "serviceAccountToken")
    return _within(volume, lambda found: _or(found, expirationSeconds=3600), *token)


# ---------------------------------------------------------------- what makes pods


def _workload(**defaults: Any) -> Callable[[Json], Json]:
    return _spec(lambda spec: _within(_or(spec, **defaults), _pod_spec, "template", "spec"))


def _deployment(document: Json) -> Json:
    spec = _workload(replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    return _spec(_strategy("strategy", maxUnavailable="25%", maxSurge="25%"))(spec(document))


def _stateful_set(document: Json) -> Json:
    spec = _workload(
        replicas=1,
        revisionHistoryLimit=10,
        podManagementPolicy="OrderedReady",
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"},
    )
    return _spec(_strategy("updateStrategy", partition=0))(spec(document))


def _daemon_set(document: Json) -> Json:
    spec = _workload(revisionHistoryLimit=10)
    return _spec(_strategy("updateStrategy", maxUnavailable=1, maxSurge=0))(spec(document))


def _strategy(name: str, **rolling: Any) -> Callable[[Any], Any]:
    def strategy(given: Any) -> Any:
        given = _or(given, type="RollingUpdate")
        if not isinstance(given, dict) or given["type"] != "RollingUpdate":
            return given
        return {**given, "rollingUpdate": _or(given.get("rollingUpdate", {}), **rolling)}

    return lambda spec: _within(_or(spec, **{name: {}}), strategy, name)


def _failure_rule(rule: Any) -> Any:
    return _within(rule, lambda pattern: _or(pattern, status="True"), "onPodConditions")


def _job_spec(spec: Any) -> Any:
    given = spec if isinstance(spec, dict) else {}
    spec = _or(
        spec,
        backoffLimit=_NO_LIMIT if "backoffLimitPerIndex" in given else 6,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy="Failed" if "podFailurePolicy" in given else "TerminatingOrFailed",
    )
    spec = _within(spec, _failure_rule, "podFailurePolicy", "rules")
    if isinstance(spec, dict) and not {"completions", "parallelism"} & spec.keys():
        spec = _or(spec, completions=1)
    return _within(_or(spec, parallelism=1), _pod_spec, "template", "spec")


def _cron_job_spec(spec: Any) -> Any:
    spec = _or(
        spec,
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    )
    return _within(spec, _job_spec, "jobTemplate", "spec")


# ---------------------------------------------------------------- the others


def _service_spec(spec: Any) -> Any:
    spec = _or(spec, type="ClusterIP", sessionAffinity="None")
    spec = _within(spec, _service_port, "ports")
    if not isinstance(spec, dict) or spec["type"] == "ExternalName":
        return spec
    address = spec.get("clusterIP")
    if isinstance(address, str) and address:
        spec = _or(spec, clusterIPs=[address])
    family = "IPv6" if isinstance(address, str) and ":" in address else "IPv4"
    spec = _or(spec, internalTrafficPolicy="Cluster", ipFamilies=[family], ipFamilyPolicy="SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec = _or(spec, externalTrafficPolicy="Cluster")
    return spec


def _service_port(port: Any) -> Any:
    if isinstance(port, dict) and "port" in port:
        return _or(port, protocol="TCP", targetPort=port["port"])
    return port


def _network_policy_spec(spec: Any) -> Any:
    if isinstance(spec, dict):
        spec = _or(spec, policyTypes=["Ingress", *(["Egress"] if spec.get("egress") else [])])
    for direction in ("ingress", "egress"):
        spec = _within(spec, lambda port: _or(port, protocol="TCP"), direction, "ports")
    return spec


def _binding(document: Json) -> Json:
    def subject(given: Any) -> Any:
        named = isinstance(given, dict) and given.get("kind") in ("User", "Group")
        return _or(given, apiGroup=RBAC) if named else given

    document = _within(document, subject, "subjects")
    result: Json = _within(document, lambda role: _or(role, apiGroup=RBAC), "roleRef")
    return result


def _namespace(document: Json) -> Json:
    head = document["metadata"]
    labels = head.get("labels", {})
    name = {"kubernetes.io/metadata.name": head.get("name", "")}
    return (
        {**document, "metadata": {**head, "labels": {**labels, **name}}}
        if isinstance(labels, dict)
        else document
    )


def _secret(document: Json) -> Json:
    """`stringData` is for writing only: it becomes `data`, where it wins."""
    document = {"type": "Opaque", **document}
    plain, data = document.get("stringData"), document.get("data", {})
    if not isinstance(plain, dict) or not isinstance(data, dict):
        return document
    if not all(isinstance(value, str) for value in plain.values()):
        return document  # left for validation to refuse
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    return {**{key: value for key, value in document.items() if key != "stringData"}, "data": data | encoded}


_KINDS: dict[tuple[str, str], Callable[[Json], Json]] = {
    ("", "namespaces"): _namespace,
    ("", "persistentvolumeclaims"): _pending(_spec(_claim_spec)),
    ("", "persistentvolumes"): _pending(_spec(_volume_spec)),
    ("", "pods"): _spec(_pod),
    ("", "replicationcontrollers"): _workload(replicas=1),
    ("", "secrets"): _secret,
    ("", "services"): _spec(_service_spec),
    ("apps", "daemonsets"): _daemon_set,
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _workload(replicas=1),
    ("apps", "statefulsets"): _stateful_set,
    ("batch", "cronjobs"): _spec(_cron_job_spec),
    ("batch", "jobs"): _spec(_job_spec),
    ("networking.k8s.io", "networkpolicies"): _spec(_network_policy_spec),
    (RBAC, "clusterrolebindings"): _binding,
    (RBAC, "rolebindings"): _binding,
}
