"""What the reconcilers see: a cached view of the store with the few indexes they need.

Reconcilers are pure functions of this view, so that they are tested without a store; the loop
(`controller/loop.py`) keeps the view current and carries out what they ask for.
"""

from __future__ import annotations

import calendar
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from tsujiban.controller import requests
from tsujiban.controller.crowds import Crowd, Crowds, Found

Json = dict[str, Any]


class Ref(NamedTuple):
    """Where an object lives. `group` is "" for the core group, `namespace` "" for cluster scope."""

    group: str
    resource: str
    namespace: str
    name: str


PODS = ("", "pods")
NODES = ("", "nodes")
NAMESPACES = ("", "namespaces")
SERVICES = ("", "services")
SERVICE_ACCOUNTS = ("", "serviceaccounts")
DEPLOYMENTS = ("apps", "deployments")
REPLICA_SETS = ("apps", "replicasets")
STATEFUL_SETS = ("apps", "statefulsets")
DAEMON_SETS = ("apps", "daemonsets")
JOBS = ("batch", "jobs")
CRON_JOBS = ("batch", "cronjobs")
CONTROLLER_REVISIONS = ("apps", "controllerrevisions")
REPLICATION_CONTROLLERS = ("", "replicationcontrollers")
ENDPOINTS = ("", "endpoints")
ENDPOINT_SLICES = ("discovery.k8s.io", "endpointslices")
IP_POOLS = ("projectcalico.org", "ippools")
CLUSTER_ROLES = ("rbac.authorization.k8s.io", "clusterroles")
CLUSTER_ROLE_BINDINGS = ("rbac.authorization.k8s.io", "clusterrolebindings")
HOST_ENDPOINTS = ("projectcalico.org", "hostendpoints")
FELIX_CONFIGURATIONS = ("projectcalico.org", "felixconfigurations")
CONTROLLERS_CONFIGURATIONS = ("projectcalico.org", "kubecontrollersconfigurations")
BUDGETS = ("policy", "poddisruptionbudgets")
CERTIFICATE_REQUESTS = ("certificates.k8s.io", "certificatesigningrequests")

SERVICE_LABEL = "kubernetes.io/service-name"  # of a slice: whose endpoints it holds

ResourceId = tuple[str, str]


class World:
    """Objects by reference, by kind and namespace, and by owner; pods by node as well, services by their
    virtual addresses (`addresses` counts who has each), and slices by their services."""

    def __init__(self) -> None:
        self._objects: dict[ResourceId, dict[Ref, Json]] = defaultdict(dict)
        self._spaces: dict[tuple[ResourceId, str], dict[Ref, Json]] = {}
        self._owned: dict[str, set[Ref]] = defaultdict(set)
        self._pods = Placed()
        self.addresses: Counter[str] = Counter()
        self._slices: dict[tuple[str, str], dict[Ref, Json]] = {}

    def put(self, ref: Ref, obj: Json) -> None:
        """Add or replace an object."""
        self.drop(ref)
        self._objects[ref[:2]][ref] = obj
        self._spaces.setdefault((ref[:2], ref.namespace), {})[ref] = obj
        for owner in owners(obj):
            self._owned[owner].add(ref)
        if ref[:2] == PODS:
            self._pods.add(ref, obj)
        elif ref[:2] == SERVICES:
            self.addresses.update(virtual_addresses(obj))
        elif ref[:2] == ENDPOINT_SLICES:
            self._slices.setdefault(_service_of(ref, obj), {})[ref] = obj

    def drop(self, ref: Ref) -> Json | None:
        """Remove an object; returns what was there."""
        obj = self._objects[ref[:2]].pop(ref, None)
        if obj is None:
            return None
        space = self._spaces[ref[:2], ref.namespace]
        del space[ref]
        if not space:
            del self._spaces[ref[:2], ref.namespace]
        for owner in owners(obj):
            self._owned[owner].discard(ref)
            if not self._owned[owner]:
                del self._owned[owner]
        if ref[:2] == PODS:
            self._pods.remove(ref, obj)
        elif ref[:2] == SERVICES:
            for address in virtual_addresses(obj):
                self.addresses[address] -= 1
                if not self.addresses[address]:
                    del self.addresses[address]
        elif ref[:2] == ENDPOINT_SLICES:
            service = _service_of(ref, obj)
            del self._slices[service][ref]
            if not self._slices[service]:
                del self._slices[service]
        return obj

    def get(self, ref: Ref) -> Json | None:
        """One object, or None."""
        return self._objects[ref[:2]].get(ref)

    def find(self, kind: ResourceId, namespace: str, name: str) -> Json | None:
        """One object by kind and name, or None."""
        return self._objects[kind].get(Ref(*kind, namespace, name))

    def all(self, kind: ResourceId, namespace: str | None = None) -> Iterator[tuple[Ref, Json]]:
        """Objects of a kind, in one namespace or everywhere."""
        if namespace is None:
            yield from self._objects[kind].items()
        else:
            yield from self._spaces.get((kind, namespace), {}).items()

    def count(self, kind: ResourceId) -> int:
        """How many objects of a kind there are."""
        return len(self._objects[kind])

    def pods_on(self, node: str) -> list[tuple[Ref, Json]]:
        """Pods that are bound to a node, also those that have finished."""
        return list(self._pods.on.get(node, {}).items())

    def load(self, node: str) -> int:
        """How many pods of a node have not finished."""
        return self._pods.load[node]

    def asked_of(self, node: str) -> Mapping[str, Fraction]:
        """What those of its pods that have not finished ask of a node: cores, bytes."""
        return self._pods.asked.get(node, {})

    def slices_of(self, service: Ref) -> list[tuple[Ref, Json]]:
        """EndpointSlices that name a service, whoever wrote them; sorted by reference."""
        return sorted(self._slices.get((service.namespace, service.name), {}).items())

    def unplaced(self) -> list[tuple[Ref, Json]]:
        """Pods that wait for a node or an address."""
        return list(self._pods.waiting.items())

    def choosy(self) -> list[tuple[Ref, Json]]:
        """Those of them to which it matters where other pods are."""
        return list(self._pods.choosy.items())

    def crowds(self, namespace: str | None = None) -> Iterator[Found]:
        """Pods that have a node and have not finished, by what is alike in them: namespace, labels, whether
        they end."""
        return self._pods.crowds.all(namespace)

    def shy(self) -> Iterator[Found]:
        """Those of them that must not have some others near them, by what is alike in them: namespace, terms,
        and labels where the terms name some of their own."""
        return self._pods.shy.all()

    def loose_pods(self, namespace: str) -> list[tuple[Ref, Json]]:
        """Pods of a namespace that nobody controls."""
        return list(self._pods.loose.get(namespace, {}).items())

    def everything(self) -> Iterator[tuple[Ref, Json]]:
        """Every object there is."""
        for table in self._objects.values():
            yield from table.items()

    def owned_by(self, uid: str, kind: ResourceId | None = None) -> list[tuple[Ref, Json]]:
        """Objects that name `uid` as an owner, sorted by reference."""
        refs = sorted(ref for ref in self._owned.get(uid, ()) if kind is None or ref[:2] == kind)
        return [(ref, self._objects[ref[:2]][ref]) for ref in refs]


class Placed:
    """Pods by where they are, for there are many, and each change is about one."""

    def __init__(self) -> None:
        self.on: dict[str, dict[Ref, Json]] = {}
        self.load: Counter[str] = Counter()  # pods of a node that have not finished
        self.asked: dict[str, dict[str, Fraction]] = {}  # of a node, by these pods: cores, bytes
        self.waiting: dict[Ref, Json] = {}  # for a node or an address
        self.choosy: dict[Ref, Json] = {}  # those of them to which it matters where others are
        self.crowds = Crowds()  # those on a node that have not finished
        self.shy = Crowds()  # those of them that must not have some others near them
        self.loose: dict[str, dict[Ref, Json]] = {}  # by namespace: those without a controller

    def add(self, ref: Ref, pod: Json) -> None:
        """A pod there was not."""
        node = node_of(pod)
        if node:
            self.on.setdefault(node, {})[ref] = pod
            self.load[node] += not is_finished(pod)
            self._ask(node, pod, 1)
            self._crowd(ref, pod, 1)
        if not (pod.get("status") or {}).get("podIP") and not is_finished(pod):
            self.waiting[ref] = pod
            if is_choosy(pod):
                self.choosy[ref] = pod
        if controller_of(pod) is None:
            self.loose.setdefault(ref.namespace, {})[ref] = pod

    def remove(self, ref: Ref, pod: Json) -> None:
        """A pod as it was added."""
        for table in (self.waiting, self.choosy):
            table.pop(ref, None)
        if controller_of(pod) is None:
            del self.loose[ref.namespace][ref]
            if not self.loose[ref.namespace]:
                del self.loose[ref.namespace]
        node = node_of(pod)
        if node:
            self.load[node] -= not is_finished(pod)
            self._ask(node, pod, -1)
            self._crowd(ref, pod, -1)
            del self.on[node][ref]
            if not self.on[node]:
                del self.on[node], self.load[node]
                self.asked.pop(node, None)

    def _crowd(self, ref: Ref, pod: Json, sign: int) -> None:
        if is_finished(pod):
            return
        labels = {key: value for key, value in labels_of(pod).items() if isinstance(value, str)}
        node, terms = node_of(pod), pod_terms(mapping(pod.get("spec")), "podAntiAffinity")
        self.crowds.count(Crowd(ref.namespace, labels, is_terminating(pod)), node, sign)
        if terms:
            own = any(term.get("matchLabelKeys") or term.get("mismatchLabelKeys") for term in terms)
            self.shy.count(Crowd(ref.namespace, labels if own else {}, terms=terms), node, sign)

    def _ask(self, node: str, pod: Json, sign: int) -> None:
        if not is_finished(pod):
            taken = self.asked.setdefault(node, {})
            for name, amount in requests.of(pod).items():
                taken[name] = taken.get(name, Fraction(0)) + sign * amount


def virtual_addresses(service: Json) -> list[str]:
    """A service's virtual addresses; none for a headless one, or one that is none."""
    spec = service.get("spec")
    if not isinstance(spec, dict):
        return []
    found = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return (
        [a for a in found if isinstance(a, str) and a not in ("", "None")] if isinstance(found, list) else []
    )


def mapping(found: Any) -> Json:
    """What is there, if it is an object. What was stored before it was judged may be anything, and stops
    nobody."""
    return found if isinstance(found, dict) else {}


def mappings(found: Any) -> list[Json]:
    """The objects of a list, likewise."""
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def texts(found: Any) -> list[str]:
    """The strings of a list, likewise."""
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def whole_or(found: Any, otherwise: int) -> int:
    """The integer that is there, likewise; `otherwise` when it is none."""
    return found if isinstance(found, int) and not isinstance(found, bool) else otherwise


def is_choosy(pod: Json) -> bool:
    """Whether it matters to the pod where others are."""
    spec = mapping(pod.get("spec"))
    affinity = mapping(spec.get("affinity"))
    wishes = (
        affinity.get("podAffinity"),
        affinity.get("podAntiAffinity"),
        spec.get("topologySpreadConstraints"),
    )
    return any(wishes)


def pod_terms(spec: Json, kind: str) -> list[Json]:
    """What a pod asks of other pods that must hold; `kind` is podAffinity or podAntiAffinity."""
    asked = mapping(mapping(spec.get("affinity")).get(kind))
    return mappings(asked.get("requiredDuringSchedulingIgnoredDuringExecution"))


def labels_of(obj: Json) -> dict[str, str]:
    """An object's labels."""
    return mapping(obj["metadata"].get("labels"))


def _service_of(ref: Ref, endpoint_slice: Json) -> tuple[str, str]:
    return ref.namespace, str(labels_of(endpoint_slice).get(SERVICE_LABEL, ""))


def owners(obj: Json) -> list[str]:
    """UIDs of an object's owners."""
    return [owner["uid"] for owner in obj["metadata"].get("ownerReferences", ())]


def controller_of(obj: Json) -> Json | None:
    """The owner reference that is marked as the controller, or None."""
    for owner in obj["metadata"].get("ownerReferences", ()):
        if owner.get("controller"):
            return dict(owner)
    return None


def owner_reference(obj: Json) -> Json:
    """The reference with which a controlled object names its controller."""
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def with_metadata(obj: Json, **fields: object) -> Json:
    """A copy of an object with some of its metadata changed; a field that is None is taken away."""
    head = {**obj["metadata"], **fields}
    return {**obj, "metadata": {name: value for name, value in head.items() if value is not None}}


def stamp(now: float) -> str:
    """UNIX seconds as the API writes time."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


_DIGITS = 18


def unstamped(text: Any) -> float | None:
    """What `stamp` has written, as UNIX seconds; None for anything else."""
    try:
        return calendar.timegm(time.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return None


def whole(text: Any) -> int | None:
    """The number that a text is, as annotations hold them; None for anything else. Python refuses to read
    what has thousands of digits."""
    written = str(text)
    return int(written) if written.isascii() and written.isdigit() and len(written) <= _DIGITS else None


def selects(selector: Json | None, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector (matchLabels, matchExpressions) selects these labels.

    An absent selector selects nothing, an empty one everything (Kubernetes API reference).
    """
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_expression(expression, labels) for expression in selector.get("matchExpressions", ()))


def _expression(expression: Json, labels: dict[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    values = expression.get("values", ())
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    return key not in labels  # DoesNotExist: the API admits no fifth operator


def node_of(pod: Json) -> str:
    """The node that a pod is bound to; "" when it is not."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def is_ready(obj: Json) -> bool:
    """Whether the Ready condition of a pod or a node is True."""
    conditions = (obj.get("status") or {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_terminating(obj: Json) -> bool:
    """Whether the object is to be deleted, and waits for something."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def is_finished(pod: Json) -> bool:
    """Whether the pod has come to an end: it holds no address and counts for no replica."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
