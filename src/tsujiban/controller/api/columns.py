"""The columns that `kubectl get` shows of each kind: data for `tables`.

A column reads a dotted path, or calls a function of the object.
"""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Callable
from typing import Any

import msgspec

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
            return "<none>" if found in (None, "") else str(found)
        return 0 if found is None else found


def dig(document: Any, path: str) -> Any:
    """The value at a dotted path; None when there is none."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _items(document: Json, path: str) -> list[Any]:
    found = dig(document, path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def age(document: Json) -> str:
    """Time since creation, as kubectl writes it."""
    return since(str(dig(document, "metadata.creationTimestamp")))


def since(moment: str) -> str:
    """Time since a moment, as kubectl writes it."""
    try:
        seconds = int(time.time()) - timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return "<unknown>"
    return duration(max(0, seconds))


def duration(seconds: int) -> str:
    """`42s`, `3m7s`, `25m`, `5h3m`, `23h`, `4d2h`, `30d`: two units at most, fewer digits with age."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if days < 2:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d"


def _selector(path: str) -> Callable[[Json], str]:
    def show(document: Json) -> str:
        found = dig(document, path)
        if not isinstance(found, dict):
            return str(found or "")
        labels = found.get("matchLabels", found)
        terms = [f"{key}={value}" for key, value in labels.items()] if isinstance(labels, dict) else []
        for expression in _items(found, "matchExpressions"):
            values = ",".join(str(value) for value in expression.get("values") or [])
            key, operator = expression.get("key"), str(expression.get("operator"))
            terms.append(f"{key} {operator.lower()} ({values})" if values else f"{operator} {key}")
        return ",".join(terms)

    return show


def _pod_ready(document: Json) -> str:
    statuses = _items(document, "status.containerStatuses")
    ready = sum(bool(status.get("ready")) for status in statuses)
    return f"{ready}/{len(_items(document, 'spec.containers'))}"


def _pod_status(document: Json) -> str:
    if dig(document, "metadata.deletionTimestamp"):
        return "Terminating"
    for status in _items(document, "status.containerStatuses"):
        for state in ("waiting", "terminated"):
            reason = dig(status, f"state.{state}.reason")
            if reason:
                return str(reason)
    return str(dig(document, "status.reason") or dig(document, "status.phase") or "Pending")


def _pod_restarts(document: Json) -> int:
    return sum(
        int(status.get("restartCount") or 0) for status in _items(document, "status.containerStatuses")
    )


def _node_status(document: Json) -> str:
    said = {c.get("type"): c.get("status") for c in _items(document, "status.conditions")}.get("Ready")
    state = "Unknown" if said is None else "Ready" if said == "True" else "NotReady"
    return f"{state},SchedulingDisabled" if dig(document, "spec.unschedulable") is True else state


def _node_address(document: Json) -> str:
    addresses = _items(document, "status.addresses")
    return next((str(a.get("address")) for a in addresses if a.get("type") == "InternalIP"), "")


def _service_ports(document: Json) -> str:
    return ",".join(
        f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in _items(document, "spec.ports")
    )


def _slice_ports(document: Json) -> str:
    return ",".join(str(port.get("port")) for port in _items(document, "ports"))


def _slice_endpoints(document: Json) -> str:
    addresses = [
        str(a) for endpoint in _items(document, "endpoints") for a in endpoint.get("addresses") or []
    ]
    return ",".join(addresses[:3]) + (f" + {len(addresses) - 3} more..." if len(addresses) > 3 else "")


def _count(path: str) -> Callable[[Json], int]:
    def count(document: Json) -> int:
        found = dig(document, path)
        return len(found) if isinstance(found, dict | list) else 0

    return count


def _containers(field: str, path: str = "spec.template.spec.containers") -> Callable[[Json], str]:
    return lambda document: ",".join(str(c.get(field)) for c in _items(document, path))


def _ratio(ready: str, wanted: str) -> Callable[[Json], str]:
    return lambda document: f"{dig(document, ready) or 0}/{_or(dig(document, wanted), 1)}"


def _or(found: Any, default: Any) -> Any:
    return default if found is None else found


def _about(document: Json) -> str:
    """The object of an event, which has two names for it in its two versions."""
    found = document.get("involvedObject") or document.get("regarding")
    return f"{dig(found, 'kind')}/{dig(found, 'name')}".lower()


def _last_seen(document: Json) -> str:
    names = ("lastTimestamp", "deprecatedLastTimestamp", "eventTime")
    found = next((document[name] for name in names if document.get(name)), "")
    return since(str(found).partition(".")[0].removesuffix("Z") + "Z")


def _enforced(document: Json) -> str:
    for condition in _items(document, "status.conditions"):
        if condition.get("type") == "Enforced":
            return str(condition.get("message") or condition.get("status"))
    return "Unknown"


def _selects(document: Json) -> str:
    found = dig(document, "status.selectedEndpoints")
    return "" if found is None else f"{found} endpoint{'' if found == 1 else 's'}"


NAME = Column("Name", "metadata.name", format="name", description="Name of the object")
AGE = Column("Age", age, description="Time since its creation")
_ENFORCED = (
    Column("Enforced", _enforced, description="On how many nodes it is in force as it is now"),
    Column("Selects", _selects, priority=1, description="How many endpoints it selects"),
)
_CALICO = (
    Column("Tier", lambda d: dig(d, "spec.tier") or "default"),
    Column("Order", lambda d: "" if dig(d, "spec.order") is None else dig(d, "spec.order")),
    *_ENFORCED,
    Column("Selector", lambda d: dig(d, "spec.selector") or "all()", priority=1),
)
_ADMIN = (Column("Priority", "spec.priority", "integer"), *_ENFORCED)
_ISTIO = (Column("Selector", _selector("spec.selector")), *_ENFORCED)
_WORKLOAD = (
    Column("Containers", _containers("name"), priority=1),
    Column("Images", _containers("image"), priority=1),
    Column("Selector", _selector("spec.selector"), priority=1),
)
_REPLICAS = (
    Column("Desired", "spec.replicas", "integer"),
    Column("Current", "status.replicas", "integer"),
    Column("Ready", "status.readyReplicas", "integer"),
)

# (group, plural) -> what stands between name and age
COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "namespaces"): (Column("Status", lambda d: dig(d, "status.phase") or "Active"),),
    ("", "nodes"): (
        Column("Status", _node_status),
        Column("Version", "status.nodeInfo.kubeletVersion"),
        Column("Internal-IP", _node_address, priority=1),
    ),
    ("", "pods"): (
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _pod_restarts, "integer"),
        Column("IP", "status.podIP", priority=1),
        Column("Node", "spec.nodeName", priority=1),
    ),
    ("", "services"): (
        Column("Type", lambda d: dig(d, "spec.type") or "ClusterIP"),
        Column("Cluster-IP", "spec.clusterIP"),
        Column("Port(s)", _service_ports),
        Column("Selector", _selector("spec.selector"), priority=1),
    ),
    ("", "configmaps"): (Column("Data", _count("data"), "integer"),),
    ("", "secrets"): (
        Column("Type", lambda d: d.get("type") or "Opaque"),
        Column("Data", _count("data"), "integer"),
    ),
    ("", "events"): (
        Column("Last Seen", _last_seen),
        Column("Type", "type"),
        Column("Reason", "reason"),
        Column("Object", _about),
        Column("Message", lambda d: d.get("message") or d.get("note")),
    ),
    ("coordination.k8s.io", "leases"): (Column("Holder", "spec.holderIdentity"),),
    ("discovery.k8s.io", "endpointslices"): (
        Column("AddressType", "addressType"),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_endpoints),
    ),
    ("apps", "deployments"): (
        Column("Ready", _ratio("status.readyReplicas", "spec.replicas")),
        Column("Up-to-date", "status.updatedReplicas", "integer"),
        Column("Available", "status.availableReplicas", "integer"),
        *_WORKLOAD,
    ),
    ("apps", "replicasets"): (*_REPLICAS, *_WORKLOAD),
    ("", "replicationcontrollers"): (*_REPLICAS, *_WORKLOAD),
    ("apps", "statefulsets"): (Column("Ready", _ratio("status.readyReplicas", "spec.replicas")), *_WORKLOAD),
    ("networking.k8s.io", "networkpolicies"): (
        Column("Pod-Selector", _selector("spec.podSelector")),
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
        Column("Pod-Selector", _selector("spec.podSelector")),
        *_ENFORCED,
    ),
    ("projectcalico.org", "tiers"): (
        Column("Order", lambda d: "" if dig(d, "spec.order") is None else dig(d, "spec.order")),
        Column("Default-Action", lambda d: dig(d, "spec.defaultAction") or "Deny"),
    ),
    ("projectcalico.org", "networksets"): (Column("Nets", _count("spec.nets"), "integer"),),
    ("projectcalico.org", "globalnetworksets"): (Column("Nets", _count("spec.nets"), "integer"),),
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


def of(group: str, plural: str) -> tuple[Column, ...]:
    """All columns of a kind, name first and age last."""
    return (NAME, *COLUMNS.get((group, plural), ()), AGE)
