"""What `get` shows of each kind: the columns, in kubectl's words. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tsujiban.cli.ages import age
from tsujiban.resources.registry import Kind

Json = dict[str, Any]
NONE = "<none>"


class Column(NamedTuple):
    """A title and how to read its cell off an object."""

    title: str
    cell: Callable[[Json], str]
    wide: bool = False  # shown with `-o wide` only


def dig(obj: Json, path: str, default: Any = "") -> Any:
    """The value at a dotted path, or `default` when any step is absent."""
    value: Any = obj
    for step in path.split("."):
        if not isinstance(value, dict) or value.get(step) is None:
            return default
        value = value[step]
    return value


def at(path: str, default: str = NONE) -> Callable[[Json], str]:
    """A cell that is the value at a path."""

    def cell(obj: Json) -> str:
        value = dig(obj, path)
        if isinstance(value, list):
            return ",".join(str(item) for item in value) or default
        return str(value) if value != "" else default

    return cell


def condition(obj: Json, kind: str) -> Json:
    """The status condition of a type; {} when it is not there."""
    for entry in dig(obj, "status.conditions", []):
        if entry.get("type") == kind:
            found: Json = entry
            return found
    return {}


def pod_phase(pod: Json) -> str:
    """One word for a pod's state: why a container waits or ended, else the phase."""
    if dig(pod, "metadata.deletionTimestamp"):
        return "Terminating"
    for container in dig(pod, "status.containerStatuses", []):
        state = container.get("state") or {}
        for how in ("waiting", "terminated"):
            if reason := (state.get(how) or {}).get("reason"):
                return str(reason)
    return str(dig(pod, "status.reason") or dig(pod, "status.phase", "Pending"))


def pod_ready(pod: Json) -> str:
    """`1/2`: containers ready, of all."""
    statuses = dig(pod, "status.containerStatuses", [])
    return f"{sum(bool(s.get('ready')) for s in statuses)}/{len(dig(pod, 'spec.containers', []))}"


def pod_restarts(pod: Json) -> str:
    """Sum over its containers."""
    return str(sum(int(s.get("restartCount", 0)) for s in dig(pod, "status.containerStatuses", [])))


def service_ports(service: Json) -> str:
    """`8080/TCP,53/UDP`."""
    ports = dig(service, "spec.ports", [])
    return ",".join(f"{p['port']}/{p.get('protocol', 'TCP')}" for p in ports) or NONE


def labels(obj: Json, path: str = "metadata.labels") -> str:
    """`a=b,c=d`."""
    return ",".join(f"{k}={v}" for k, v in dig(obj, path, {}).items()) or NONE


def node_state(node: Json) -> str:
    """Ready or NotReady, and whether a person has closed it to new pods."""
    state = "Ready" if condition(node, "Ready").get("status") == "True" else "NotReady"
    return f"{state},SchedulingDisabled" if dig(node, "spec.unschedulable", False) else state


def enforced(policy: Json) -> str:
    """`2/2 nodes` when the policy as it stands now is in force; else how far it got."""
    state = condition(policy, "Enforced")
    if not state:
        return "no"
    current = state.get("observedGeneration", 0) >= dig(policy, "metadata.generation", 0)
    message = str(state.get("message") or state.get("reason") or "")
    return (
        message
        if state.get("status") == "True" and current
        else f"waiting ({message})"
        if message
        else "waiting"
    )


POLICY = (
    Column("TIER", at("spec.tier", "default")),
    Column("ORDER", at("spec.order")),
    Column("SELECTOR", at("spec.selector", "all()")),
    Column("ENFORCED", enforced),
)
REPLICAS = (
    Column("DESIRED", at("spec.replicas", "1")),
    Column("CURRENT", at("status.replicas", "0")),
    Column("READY", at("status.readyReplicas", "0")),
)
COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "Pod"): (
        Column("READY", pod_ready),
        Column("STATUS", pod_phase),
        Column("RESTARTS", pod_restarts),
        Column("IP", at("status.podIP"), wide=True),
        Column("NODE", at("spec.nodeName"), wide=True),
        Column("ACCOUNT", at("spec.serviceAccountName", "default"), wide=True),
    ),
    ("", "Service"): (
        Column("CLUSTER-IP", at("spec.clusterIP", "None")),
        Column("PORT(S)", service_ports),
        Column("SELECTOR", lambda o: labels(o, "spec.selector"), wide=True),
    ),
    ("", "Namespace"): (Column("STATUS", at("status.phase", "Active")),),
    ("", "Node"): (
        Column("STATUS", node_state),
        Column("PODCIDR", at("spec.podCIDR"), wide=True),
        Column(
            "INTERNAL-IP",
            lambda o: next((a["address"] for a in dig(o, "status.addresses", [])), NONE),
            wide=True,
        ),
    ),
    ("", "Event"): (
        Column("LAST-SEEN", at("lastTimestamp")),
        Column("TYPE", at("type")),
        Column("REASON", at("reason")),
        Column(
            "OBJECT", lambda o: f"{dig(o, 'involvedObject.kind')}/{dig(o, 'involvedObject.name')}".lower()
        ),
        Column("MESSAGE", at("message")),
    ),
    ("", "ConfigMap"): (Column("DATA", lambda o: str(len(o.get("data") or {}))),),
    ("apps", "Deployment"): (
        Column("READY", lambda o: f"{dig(o, 'status.readyReplicas', 0)}/{dig(o, 'spec.replicas', 1)}"),
        Column("UP-TO-DATE", at("status.updatedReplicas", "0")),
        Column("AVAILABLE", at("status.availableReplicas", "0")),
        Column("SELECTOR", lambda o: labels(o, "spec.selector.matchLabels"), wide=True),
    ),
    ("apps", "ReplicaSet"): REPLICAS,
    ("projectcalico.org", "NetworkPolicy"): POLICY,
    ("projectcalico.org", "GlobalNetworkPolicy"): POLICY,
    ("projectcalico.org", "Tier"): (
        Column("ORDER", at("spec.order")),
        Column("DEFAULT", at("spec.defaultAction", "Deny")),
    ),
    ("networking.k8s.io", "NetworkPolicy"): (
        Column("POD-SELECTOR", lambda o: labels(o, "spec.podSelector.matchLabels")),
        Column("ENFORCED", enforced),
    ),
}


def table(
    kind: Kind,
    objects: list[Json],
    now: float,
    *,
    wide: bool = False,
    with_namespace: bool = False,
    prefix: bool = False,
) -> tuple[list[str], list[list[str]]]:
    """Titles and rows; `prefix` writes `pod/name`, for output that mixes kinds."""
    columns = [c for c in COLUMNS.get((kind.group, kind.kind), ()) if wide or not c.wide]
    titles = ["NAMESPACE"] * with_namespace + ["NAME", *(c.title for c in columns), "AGE"]
    rows = []
    for obj in objects:
        meta = obj["metadata"]
        name = f"{kind.singular}/{meta['name']}" if prefix else meta["name"]
        row = [name, *(c.cell(obj) for c in columns), age(meta.get("creationTimestamp", ""), now)]
        rows.append([meta.get("namespace", "")] * with_namespace + row)
    return titles, rows
