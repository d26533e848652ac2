"""What stands in the cells of `kubectl get`, where it is more than a field: pure functions of an object.

Kept apart from `columns`, which says where each of them stands. Whatever an object holds, there is an answer.
Source: Kubernetes documentation, "kubectl get", and the tables that its own API server sends.
"""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"

_ROLE, _ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"
_SHOWN = 3  # ports and addresses of a slice


def or_none(path: str) -> Callable[[Json], str]:
    """The value at a dotted path, `N/A` where it is not set."""

    def cell(document: Json) -> str:
        found = dig(document, path)
        return "N/A" if found is None else str(found)

    return cell


def or_unset(path: str) -> Callable[[Json], str]:
    """The value at a dotted path, `<unset>` where there is none."""
    return lambda document: str(dig(document, path) or UNSET)


def dig(document: Any, path: str) -> Any:
    """The value at a dotted path; None when there is none."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def items(document: Any, path: str) -> list[Any]:
    """The maps in the list at a path."""
    found = dig(document, path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def words(document: Any, path: str) -> list[str]:
    """The texts in the list at a path."""
    found = dig(document, path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


# ---------------------------------------------------------------- times


def age(document: Json) -> str:
    """Time since creation, as kubectl writes it."""
    return since(str(dig(document, "metadata.creationTimestamp")))


def since(moment: str) -> str:
    """Time since a moment (RFC 3339 in UTC), as kubectl writes it."""
    seconds = _seconds(moment)
    return UNKNOWN if seconds is None else duration(max(0, int(time.time()) - seconds))


def between(start: str, end: str) -> str:
    """Time from a moment to another, or until now when that is none; "" when it has not begun."""
    began, ended = _seconds(start), _seconds(end)
    if began is None:
        return ""
    return duration(max(0, (int(time.time()) if ended is None else ended) - began))


def _seconds(moment: str) -> int | None:
    try:
        return timegm(time.strptime(moment.partition(".")[0].removesuffix("Z"), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


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


# ---------------------------------------------------------------- of many kinds


def selector(path: str) -> Callable[[Json], str]:
    """Labels, or a label selector, at a path."""

    def show(document: Json) -> str:
        found = dig(document, path)
        if not isinstance(found, dict):
            return str(found or "")
        labels = found.get("matchLabels", {}) if _is_selector(found) else found
        terms = [(key, f"{key}={value}") for key, value in labels.items()] if isinstance(labels, dict) else []
        terms += [_term(expression) for expression in items(found, "matchExpressions")]
        return ",".join(text for _, text in sorted(terms))

    return show


def _is_selector(found: Json) -> bool:
    return any(isinstance(found.get(name), dict | list) for name in ("matchLabels", "matchExpressions"))


def _term(expression: Json) -> tuple[str, str]:
    key, operator = str(expression.get("key")), str(expression.get("operator"))
    if operator == "Exists":
        return key, key
    if operator == "DoesNotExist":
        return key, f"!{key}"
    return key, f"{key} {operator.lower()} ({','.join(sorted(words(expression, 'values')))})"


def count(*paths: str) -> Callable[[Json], int]:
    """How many things are at some paths together."""

    def total(document: Json) -> int:
        found = (dig(document, path) for path in paths)
        return sum(len(one) for one in found if isinstance(one, dict | list))

    return total


def containers(field: str, path: str = "spec.template.spec.containers") -> Callable[[Json], str]:
    """A field of each container of a template."""
    return lambda document: ",".join(str(c.get(field)) for c in items(document, path))


def ratio(ready: str, wanted: str) -> Callable[[Json], str]:
    """How many of how many; 1 is wanted where nothing is said."""

    def show(document: Json) -> str:
        of = dig(document, wanted)
        return f"{dig(document, ready) or 0}/{1 if of is None else of}"

    return show


def conditions(document: Json) -> dict[str, Any]:
    """Status of each condition by its type."""
    return {str(c.get("type")): c.get("status") for c in items(document, "status.conditions")}


# ---------------------------------------------------------------- pods


def pod_ready(document: Json) -> str:
    """Ready containers of all, those that were started first and go on among them."""
    first = [c.get("name") for c in items(document, "spec.initContainers") if c.get("restartPolicy")]
    statuses = [s for s in items(document, "status.initContainerStatuses") if s.get("name") in first]
    statuses += items(document, "status.containerStatuses")
    ready = sum(bool(status.get("ready")) for status in statuses)
    return f"{ready}/{len(items(document, 'spec.containers')) + len(first)}"


def pod_status(document: Json) -> str:
    """The phase, or what a container is waiting for or ended with."""
    phase = str(dig(document, "status.phase") or "Pending")
    if dig(document, "metadata.deletionTimestamp") and phase not in ("Succeeded", "Failed"):
        return "Terminating"
    said = str(dig(document, "status.reason") or phase)
    statuses = items(document, "status.containerStatuses")
    said = _initializing(document) or next(filter(None, map(_told, statuses)), said)
    if said == "Completed" and any(s.get("ready") and dig(s, "state.running") is not None for s in statuses):
        return "Running" if conditions(document).get("Ready") == "True" else "NotReady"
    return said


def _initializing(document: Json) -> str:
    """What the first init container that has not done its work says."""
    statuses = items(document, "status.initContainerStatuses")
    for index, status in enumerate(statuses):
        ended = dig(status, "state.terminated")
        if (isinstance(ended, dict) and ended.get("exitCode") == 0) or status.get("started") is True:
            continue
        told = _told(status)
        if told and told != "PodInitializing":
            return f"Init:{told}"
        return f"Init:{index}/{len(items(document, 'spec.initContainers'))}"
    return ""


def _told(status: Json) -> str:
    waiting, ended = dig(status, "state.waiting"), dig(status, "state.terminated")
    if dig(waiting, "reason"):
        return str(dig(waiting, "reason"))
    if not isinstance(ended, dict):
        return ""
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def pod_restarts(document: Json) -> str:
    """`3 (5m ago)`: how often containers were started again, and when one last ended; of init containers,
    while they have their turn."""
    early = "status.initContainerStatuses" if _initializing(document) else "status.containerStatuses"
    statuses = items(document, early)
    times = [found for s in statuses if isinstance(found := s.get("restartCount"), int)]
    ends = [str(dig(s, "lastState.terminated.finishedAt") or "") for s in statuses]
    last = max(ends, default="")
    return f"{sum(times)} ({since(last)} ago)" if sum(times) and last else str(sum(times))


def pod_gates(document: Json) -> str:
    """Readiness gates that are open, of all."""
    gates, said = items(document, "spec.readinessGates"), conditions(document)
    opened = sum(said.get(str(gate.get("conditionType"))) == "True" for gate in gates)
    return f"{opened}/{len(gates)}" if gates else ""


# ---------------------------------------------------------------- nodes


def node_status(document: Json) -> str:
    """Whether it is ready, and open to new pods."""
    said = conditions(document).get("Ready")
    state = "Unknown" if said is None else "Ready" if said == "True" else "NotReady"
    return f"{state},SchedulingDisabled" if dig(document, "spec.unschedulable") is True else state


def node_roles(document: Json) -> str:
    """What its labels say it is for."""
    labels = dig(document, "metadata.labels")
    found = set()
    for key, value in labels.items() if isinstance(labels, dict) else ():
        if key.startswith(_ROLE):
            found.add(key.removeprefix(_ROLE))
        elif key == _ROLE_LABEL:
            found.add(str(value))
    return ",".join(sorted(found - {""}))


def node_address(of: str) -> Callable[[Json], str]:
    """Its first address of a type."""

    def show(document: Json) -> str:
        addresses = items(document, "status.addresses")
        return next((str(a.get("address")) for a in addresses if a.get("type") == of), "")

    return show


def node_info(field: str) -> Callable[[Json], str]:
    """What it says that it is."""
    return lambda document: str(dig(document, f"status.nodeInfo.{field}") or UNKNOWN)


# ---------------------------------------------------------------- services


def service_external(document: Json) -> str:
    """Where it is reached from outside."""
    addresses = words(document, "spec.externalIPs")
    match dig(document, "spec.type"):
        case "ExternalName":
            return str(dig(document, "spec.externalName") or "")
        case "LoadBalancer":
            ingress = items(document, "status.loadBalancer.ingress")
            given = [str(one.get("ip") or one.get("hostname")) for one in ingress]
            return ",".join([*given, *addresses]) or "<pending>"
    return ",".join(addresses)


def service_ports(document: Json) -> str:
    """`80/TCP`, or `80:30080/TCP` with a node port."""
    return ",".join(map(_service_port, items(document, "spec.ports")))


def _service_port(port: Json) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}"


def slice_ports(document: Json) -> str:
    """The first ports of an EndpointSlice."""
    ports = (port.get("port") for port in items(document, "ports"))
    return _first("*" if port is None else str(port) for port in ports)


def slice_endpoints(document: Json) -> str:
    """The first addresses of an EndpointSlice."""
    return _first(a for endpoint in items(document, "endpoints") for a in words(endpoint, "addresses"))


def endpoint_list(document: Json) -> str:
    """The first addresses of Endpoints, each with its ports."""
    found: list[str] = []
    for subset in items(document, "subsets"):
        addresses = [str(one.get("ip")) for one in items(subset, "addresses")]
        ports = [str(one.get("port")) for one in items(subset, "ports")]
        found += [f"{_bracketed(one)}:{port}" for port in ports for one in addresses] if ports else addresses
    more = len(found) - _SHOWN
    return (",".join(found[:_SHOWN]) or NONE) + (f" + {more} more..." if more > 0 else "")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _first(found: Any) -> str:
    shown = list(found)
    more = len(shown) - _SHOWN
    return (",".join(shown[:_SHOWN]) or UNSET) + (f" + {more} more..." if more > 0 else "")


def ingress_hosts(document: Json) -> str:
    """Hosts of an Ingress; `*` is every one."""
    rules = items(document, "spec.rules")
    hosts = [str(rule["host"]) for rule in rules if rule.get("host")]
    more = len(hosts) - _SHOWN
    return (",".join(hosts[:_SHOWN]) or "*") + (f" + {more} more..." if more > 0 else "")


def ingress_addresses(document: Json) -> str:
    """Where an Ingress is reached."""
    found = items(document, "status.loadBalancer.ingress")
    return ",".join(str(one.get("ip") or one.get("hostname")) for one in found)


def ingress_parameters(document: Json) -> str:
    """`kind.group/name` of what an IngressClass is set by."""
    found = dig(document, "spec.parameters")
    if not isinstance(found, dict):
        return ""
    group = f".{found['apiGroup']}" if found.get("apiGroup") else ""
    return f"{found.get('kind')}{group}/{found.get('name')}"


# ---------------------------------------------------------------- storage

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def access_modes(document: Json) -> str:
    """`RWO,ROX`."""
    return ",".join(_MODES.get(mode, mode) for mode in words(document, "spec.accessModes"))


def volume_claim(document: Json) -> str:
    """`shop/data`, the claim that has a volume."""
    found = dig(document, "spec.claimRef")
    return f"{found.get('namespace')}/{found.get('name')}" if isinstance(found, dict) else ""


# ---------------------------------------------------------------- workloads


def controller(document: Json) -> str:
    """What has made the object: `daemonset.apps/web`."""
    for owner in items(document, "metadata.ownerReferences"):
        if owner.get("controller"):
            group = str(owner.get("apiVersion", "")).rpartition("/")[0]
            kind = ".".join(part for part in (str(owner.get("kind", "")).lower(), group) if part)
            return f"{kind}/{owner.get('name')}"
    return NONE


def job_status(document: Json) -> str:
    """How far a job is."""
    said = {name for name, status in conditions(document).items() if status == "True"}
    if "Complete" in said or "Failed" in said:
        return "Complete" if "Complete" in said else "Failed"
    if dig(document, "metadata.deletionTimestamp"):
        return "Terminating"
    if said & {"Suspended", "FailureTarget", "SuccessCriteriaMet"}:
        return next(one for one in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if one in said)
    return "Running"


def job_duration(document: Json) -> str:
    """How long it took, or has taken."""
    return between(str(dig(document, "status.startTime")), str(dig(document, "status.completionTime")))


def cron_last(document: Json) -> str:
    """When it last made a job."""
    last = dig(document, "status.lastScheduleTime")
    return since(str(last)) if last else ""


# ---------------------------------------------------------------- access


def role_ref(document: Json) -> str:
    """`ClusterRole/view`."""
    return f"{dig(document, 'roleRef.kind')}/{dig(document, 'roleRef.name')}"


def subjects(kind: str) -> Callable[[Json], str]:
    """Who of a kind is bound; service accounts with their namespaces."""

    def show(document: Json) -> str:
        found = (s for s in items(document, "subjects") if s.get("kind") == kind)
        named = (
            f"{s.get('namespace')}/{s.get('name')}" if "namespace" in s else s.get("name") for s in found
        )
        return ", ".join(map(str, named))

    return show


def csr_condition(document: Json) -> str:
    """How far a certificate signing request is."""
    said = {str(c.get("type")) for c in items(document, "status.conditions")}
    state = "Denied" if "Denied" in said else "Approved" if "Approved" in said else "Pending"
    state += ",Failed" if "Failed" in said else ""
    return state + (",Issued" if dig(document, "status.certificate") else "")


def csr_duration(document: Json) -> str:
    """How long the certificate is to be good."""
    seconds = dig(document, "spec.expirationSeconds")
    return duration(seconds) if isinstance(seconds, int) else ""


# ---------------------------------------------------------------- events


def _of_event(document: Json, *names: str) -> Any:
    """A field of an Event, which has other names in the other version."""
    return next((document[name] for name in names if document.get(name)), None)


def event_object(document: Json) -> str:
    """`pod/web-1`."""
    found = _of_event(document, "involvedObject", "regarding")
    return f"{str(dig(found, 'kind')).lower()}/{dig(found, 'name')}"


def event_part(document: Json) -> str:
    """Which part of the object, as `spec.containers{web}`."""
    return str(dig(_of_event(document, "involvedObject", "regarding"), "fieldPath") or "")


def event_source(document: Json) -> str:
    """Who saw it, and where."""
    source = _of_event(document, "source", "deprecatedSource")
    component = dig(source, "component") or _of_event(document, "reportingComponent", "reportingController")
    found = (component, dig(source, "host") or document.get("reportingInstance"))
    return ", ".join(str(one) for one in found if one)


def event_message(document: Json) -> str:
    """What happened, without space around it."""
    return str(_of_event(document, "message", "note") or "").strip()


def event_last(document: Json) -> str:
    """When it was last seen."""
    series = dig(document, "series.lastObservedTime")
    found = series or _of_event(document, "lastTimestamp", "deprecatedLastTimestamp", "eventTime")
    return since(str(found))


def event_first(document: Json) -> str:
    """When it was first seen."""
    return since(str(_of_event(document, "firstTimestamp", "deprecatedFirstTimestamp", "eventTime")))


def event_count(document: Json) -> str:
    """How often it was seen."""
    series = dig(document, "series.count")
    return str(series or _of_event(document, "count", "deprecatedCount") or 1)


# ---------------------------------------------------------------- policies


def enforced(document: Json) -> str:
    """On how many nodes a policy is in force."""
    for condition in items(document, "status.conditions"):
        if condition.get("type") == "Enforced":
            return str(condition.get("message") or condition.get("status"))
    return "Unknown"


def selects(document: Json) -> str:
    """How many endpoints a policy selects."""
    found = dig(document, "status.selectedEndpoints")
    return "" if found is None else f"{found} endpoint{'' if found == 1 else 's'}"
