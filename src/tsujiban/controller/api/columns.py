"""The columns that `kubectl get` shows of each kind: data for `tables`.

A column reads a dotted path, or calls a function of the object (`cells`). Kubernetes' own kinds
have those of its own server, in its order, so that scripts which cut columns out read the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tsujiban.controller.api import cells
from tsujiban.controller.api.cells import NONE, dig

Json = dict[str, Any]
Source = str | Callable[[Json], Any]


class Column(msgspec.Struct, frozen=True):
    """`priority` 0 is always shown, 1 with `-o wide`. Types are those of OpenAPI."""

    title: str
    source: Source
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""

    def cell(self, document: Json) -> Any:
        """What stands in the row of `document`."""
        found = dig(document, self.source) if isinstance(self.source, str) else self.source(document)
        if self.type == "string":
            return NONE if found in (None, "") else str(found)
        return 0 if found is None else found


NAME = Column("Name", "metadata.name", format="name", description="Name of the object")
AGE = Column("Age", cells.age, description="Time since its creation")
_CREATED = Column("Created At", "metadata.creationTimestamp", description="When it was made")
_ENFORCED = (
    Column("Enforced", cells.enforced, description="On how many nodes it is in force as it is now"),
    Column("Selects", cells.selects, priority=1, description="How many endpoints it selects"),
)
_CALICO = (
    Column("Tier", lambda d: dig(d, "spec.tier") or "default"),
    Column("Order", lambda d: "" if dig(d, "spec.order") is None else dig(d, "spec.order")),
    *_ENFORCED,
    Column("Selector", lambda d: dig(d, "spec.selector") or "all()", priority=1),
)
_ADMIN = (Column("Priority", "spec.priority", "integer"), *_ENFORCED)
_ISTIO = (Column("Selector", cells.selector("spec.selector")), *_ENFORCED)
_TEMPLATE = (
    Column("Containers", cells.containers("name"), priority=1),
    Column("Images", cells.containers("image"), priority=1),
)
_WORKLOAD = (*_TEMPLATE, Column("Selector", cells.selector("spec.selector"), priority=1))
_JOB = "spec.jobTemplate.spec.template.spec.containers"
_BINDING = (
    Column("Role", cells.role_ref),
    AGE,
    Column("Users", cells.subjects("User"), priority=1),
    Column("Groups", cells.subjects("Group"), priority=1),
    Column("ServiceAccounts", cells.subjects("ServiceAccount"), priority=1),
)
_REPLICAS = (
    Column("Desired", "spec.replicas", "integer"),
    Column("Current", "status.replicas", "integer"),
    Column("Ready", "status.readyReplicas", "integer"),
)

# (group, plural) -> what stands behind the name; the age is last where it is not among them
COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "namespaces"): (Column("Status", lambda d: dig(d, "status.phase") or "Active"),),
    ("", "nodes"): (
        Column("Status", cells.node_status),
        Column("Roles", cells.node_roles),
        AGE,
        Column("Version", "status.nodeInfo.kubeletVersion"),
        Column("Internal-IP", cells.node_address("InternalIP"), priority=1),
        Column("External-IP", cells.node_address("ExternalIP"), priority=1),
        Column("OS-Image", cells.node_info("osImage"), priority=1),
        Column("Kernel-Version", cells.node_info("kernelVersion"), priority=1),
        Column("Container-Runtime", cells.node_info("containerRuntimeVersion"), priority=1),
    ),
    ("", "pods"): (
        Column("Ready", cells.pod_ready),
        Column("Status", cells.pod_status),
        Column("Restarts", cells.pod_restarts),
        AGE,
        Column("IP", "status.podIP", priority=1),
        Column("Node", "spec.nodeName", priority=1),
        Column("Nominated Node", "status.nominatedNodeName", priority=1),
        Column("Readiness Gates", cells.pod_gates, priority=1),
    ),
    ("", "services"): (
        Column("Type", lambda d: dig(d, "spec.type") or "ClusterIP"),
        Column("Cluster-IP", "spec.clusterIP"),
        Column("External-IP", cells.service_external),
        Column("Port(s)", cells.service_ports),
        AGE,
        Column("Selector", cells.selector("spec.selector"), priority=1),
    ),
    ("", "serviceaccounts"): (Column("Secrets", cells.count("secrets"), "integer"),),
    ("", "configmaps"): (Column("Data", cells.count("data", "binaryData"), "integer"),),
    ("", "secrets"): (
        Column("Type", lambda d: d.get("type") or "Opaque"),
        Column("Data", cells.count("data"), "integer"),
    ),
    ("coordination.k8s.io", "leases"): (Column("Holder", "spec.holderIdentity"),),
    ("", "endpoints"): (Column("Endpoints", cells.endpoint_list),),
    ("discovery.k8s.io", "endpointslices"): (
        Column("AddressType", "addressType"),
        Column("Ports", cells.slice_ports),
        Column("Endpoints", cells.slice_endpoints),
    ),
    ("apps", "deployments"): (
        Column("Ready", cells.ratio("status.readyReplicas", "spec.replicas")),
        Column("Up-to-date", "status.updatedReplicas", "integer"),
        Column("Available", "status.availableReplicas", "integer"),
        AGE,
        *_WORKLOAD,
    ),
    ("apps", "replicasets"): (*_REPLICAS, AGE, *_WORKLOAD),
    ("", "replicationcontrollers"): (*_REPLICAS, AGE, *_WORKLOAD),
    ("apps", "statefulsets"): (
        Column("Ready", cells.ratio("status.readyReplicas", "spec.replicas")),
        AGE,
        *_TEMPLATE,
    ),
    ("apps", "daemonsets"): (
        Column("Desired", "status.desiredNumberScheduled", "integer"),
        Column("Current", "status.currentNumberScheduled", "integer"),
        Column("Ready", "status.numberReady", "integer"),
        Column("Up-to-date", "status.updatedNumberScheduled", "integer"),
        Column("Available", "status.numberAvailable", "integer"),
        Column("Node Selector", cells.selector("spec.template.spec.nodeSelector")),
        AGE,
        *_WORKLOAD,
    ),
    ("apps", "controllerrevisions"): (
        Column("Controller", cells.controller),
        Column("Revision", "revision", "integer"),
    ),
    ("batch", "jobs"): (
        Column("Status", cells.job_status),
        Column("Completions", cells.ratio("status.succeeded", "spec.completions")),
        Column("Duration", cells.job_duration),
        AGE,
        *_WORKLOAD,
    ),
    ("batch", "cronjobs"): (
        Column("Schedule", "spec.schedule"),
        Column("Timezone", "spec.timeZone"),
        Column("Suspend", lambda d: dig(d, "spec.suspend") is True),
        Column("Active", cells.count("status.active"), "integer"),
        Column("Last Schedule", cells.cron_last),
        AGE,
        Column("Containers", cells.containers("name", _JOB), priority=1),
        Column("Images", cells.containers("image", _JOB), priority=1),
        Column("Selector", cells.selector("spec.jobTemplate.spec.selector"), priority=1),
    ),
    ("networking.k8s.io", "ingresses"): (
        Column("Class", "spec.ingressClassName"),
        Column("Hosts", cells.ingress_hosts),
        Column("Address", cells.ingress_addresses),
        Column("Ports", lambda d: "80, 443" if dig(d, "spec.tls") else "80"),
    ),
    ("networking.k8s.io", "ingressclasses"): (
        Column("Controller", "spec.controller"),
        Column("Parameters", cells.ingress_parameters),
    ),
    ("", "persistentvolumeclaims"): (
        Column("Status", lambda d: dig(d, "status.phase") or "Pending"),
        Column("Volume", lambda d: dig(d, "spec.volumeName") or ""),
        Column("Capacity", lambda d: dig(d, "status.capacity.storage") or ""),
        Column("Access Modes", cells.access_modes),
        Column("StorageClass", "spec.storageClassName"),
        Column("VolumeAttributesClass", cells.or_unset("spec.volumeAttributesClassName")),
        AGE,
        Column("VolumeMode", lambda d: dig(d, "spec.volumeMode") or "Filesystem", priority=1),
    ),
    ("", "persistentvolumes"): (
        Column("Capacity", "spec.capacity.storage"),
        Column("Access Modes", cells.access_modes),
        Column("Reclaim Policy", lambda d: dig(d, "spec.persistentVolumeReclaimPolicy") or "Retain"),
        Column("Status", lambda d: dig(d, "status.phase") or "Pending"),
        Column("Claim", cells.volume_claim),
        Column("StorageClass", "spec.storageClassName"),
        Column("VolumeAttributesClass", cells.or_unset("spec.volumeAttributesClassName")),
        Column("Reason", "status.reason"),
        AGE,
        Column("VolumeMode", lambda d: dig(d, "spec.volumeMode") or "Filesystem", priority=1),
    ),
    ("policy", "poddisruptionbudgets"): (
        Column("Min Available", cells.or_none("spec.minAvailable")),
        Column("Max Unavailable", cells.or_none("spec.maxUnavailable")),
        Column("Allowed Disruptions", "status.disruptionsAllowed", "integer"),
    ),
    ("rbac.authorization.k8s.io", "rolebindings"): _BINDING,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _BINDING,
    ("networking.k8s.io", "networkpolicies"): (
        Column("Pod-Selector", cells.selector("spec.podSelector")),
        *_ENFORCED,
    ),
    ("policy.networking.k8s.io", "clusternetworkpolicies"): (Column("Tier", "spec.tier"), *_ADMIN),
    ("policy.networking.k8s.io", "adminnetworkpolicies"): _ADMIN,
    ("policy.networking.k8s.io", "baselineadminnetworkpolicies"): (*_ENFORCED,),
    ("projectcalico.org", "networkpolicies"): _CALICO,
    ("projectcalico.org", "globalnetworkpolicies"): _CALICO,
    ("projectcalico.org", "stagednetworkpolicies"): _CALICO,
    ("projectcalico.org", "stagedglobalnetworkpolicies"): _CALICO,
    ("projectcalico.org", "stagedkubernetesnetworkpolicies"): (
        Column("Pod-Selector", cells.selector("spec.podSelector")),
        *_ENFORCED,
    ),
    ("projectcalico.org", "tiers"): (
        Column("Order", lambda d: "" if dig(d, "spec.order") is None else dig(d, "spec.order")),
        Column("Default-Action", lambda d: dig(d, "spec.defaultAction") or "Deny"),
    ),
    ("projectcalico.org", "networksets"): (Column("Nets", cells.count("spec.nets"), "integer"),),
    ("projectcalico.org", "globalnetworksets"): (Column("Nets", cells.count("spec.nets"), "integer"),),
    ("projectcalico.org", "ippools"): (Column("CIDR", "spec.cidr"),),
    ("projectcalico.org", "hostendpoints"): (
        Column("Node", "spec.node"),
        Column("Interface", "spec.interfaceName"),
    ),
    ("security.istio.io", "authorizationpolicies"): (
        Column("Action", lambda d: dig(d, "spec.action") or "ALLOW"),
        *_ISTIO,
    ),
    ("security.istio.io", "peerauthentications"): (Column("Mode", "spec.mtls.mode"), *_ISTIO),
    ("security.istio.io", "requestauthentications"): _ISTIO,
}


# what does not begin with the name, or has no age by that title
WHOLE: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "events"): (
        Column("Last Seen", cells.event_last),
        Column("Type", "type"),
        Column("Reason", "reason"),
        Column("Object", cells.event_object),
        Column("Subobject", cells.event_part, priority=1),
        Column("Source", cells.event_source, priority=1),
        Column("Message", cells.event_message),
        Column("First Seen", cells.event_first, priority=1),
        Column("Count", cells.event_count, priority=1),
        Column("Name", "metadata.name", priority=1, format="name"),
    ),
    ("certificates.k8s.io", "certificatesigningrequests"): (
        NAME,
        AGE,
        Column("SignerName", "spec.signerName"),
        Column("Requestor", "spec.username"),
        Column("RequestedDuration", cells.csr_duration),
        Column("Condition", cells.csr_condition),
    ),
    ("rbac.authorization.k8s.io", "roles"): (NAME, _CREATED),
    ("rbac.authorization.k8s.io", "clusterroles"): (NAME, _CREATED),
}


def of(group: str, plural: str) -> tuple[Column, ...]:
    """All columns of a kind."""
    whole = WHOLE.get((group, plural))
    if whole is not None:
        return whole
    found = COLUMNS.get((group, plural), ())
    return (NAME, *found) if AGE in found else (NAME, *found, AGE)
