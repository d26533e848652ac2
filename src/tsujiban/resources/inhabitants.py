"""The endpoints that a set of manifests holds, as selectors see them.

Only for telling of selectors that select nothing: what an endpoint is to policy, `policy/` says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from tsujiban.resources import defaults
from tsujiban.resources.selector_nodes import And, Equals, Has, In, Node
from tsujiban.resources.selectors import Selector

if TYPE_CHECKING:
    from tsujiban.resources.load import LoadedObject

NAMESPACE = "projectcalico.org/namespace"
SERVICE_ACCOUNT = "projectcalico.org/serviceaccount"
ORCHESTRATOR = "projectcalico.org/orchestrator"

WORKLOADS = frozenset(
    (
        "Pod",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "ReplicationController",
        "Job",
        "CronJob",
        "WorkloadEndpoint",
        "HostEndpoint",
    )
)
"""Kinds that stand for endpoints."""


class Labelled:
    """Things with labels, found by selector without looking at each."""

    def __init__(self, members: Iterable[Mapping[str, str]]) -> None:
        self.members = [dict(labels) for labels in {tuple(sorted(m.items())): None for m in members}]
        self._with: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index, labels in enumerate(self.members):
            for pair in labels.items():
                self._with[pair].append(index)

    def any(self, selector: Selector) -> bool:
        """Whether the selector selects one of them."""
        return any(selector.matches(self.members[index]) for index in self._candidates(selector.node))

    def _candidates(self, node: Node) -> Iterable[int]:
        if isinstance(node, Equals):
            return self._with.get((node.label, node.value), ())
        if isinstance(node, In):
            return [index for value in node.values for index in self._with.get((node.label, value), ())]
        if isinstance(node, And):
            best: list[int] | None = None
            for part in node.nodes:
                if isinstance(part, Equals | In):
                    found = list(self._candidates(part))
                    best = found if best is None or len(found) < len(best) else best
            if best is not None:
                return best
        return range(len(self.members))


class Inhabitants:
    """All endpoints, network sets and namespaces of a set of manifests."""

    def __init__(self, objects: Iterable[LoadedObject]) -> None:
        objects = list(objects)
        self.namespaces = {
            found.object.metadata.name: defaults.namespace_labels(
                found.object.metadata.name, found.object.metadata.labels
            )
            for found in objects
            if found.kind.kind == "Namespace"
        }
        self.accounts = {
            found.name: found.object.metadata.labels
            for found in objects
            if found.kind.kind == "ServiceAccount"
        }
        self.has_workloads = False
        self.used_accounts: set[str] = set()
        endpoints: list[Mapping[str, str]] = []
        sets: list[Mapping[str, str]] = []
        for found in objects:
            if found.kind.kind in WORKLOADS:
                self.has_workloads = True
                endpoints.append(self._endpoint(found))
            elif found.kind.kind in ("NetworkSet", "GlobalNetworkSet"):
                sets.append(self._placed(found, found.object.metadata.labels))
        self.endpoints = Labelled(endpoints)
        self.peers = Labelled([*endpoints, *sets])
        self.namespace_labels = Labelled(self.namespaces.values())

    def _endpoint(self, found: LoadedObject) -> Mapping[str, str]:
        labels, account = _template(found)
        if found.kind.kind == "HostEndpoint":
            return labels
        namespace = defaults.namespace(found.object.metadata.namespace)
        self.used_accounts.add(f"{namespace}/{account}")
        inherited = self._placed(found, labels)
        inherited[SERVICE_ACCOUNT] = account
        inherited.setdefault(ORCHESTRATOR, "k8s")
        for key, value in self.accounts.get(f"{namespace}/{account}", {}).items():
            inherited[f"pcsa.{key}"] = value
        return inherited

    def _placed(self, found: LoadedObject, labels: Mapping[str, str]) -> dict[str, str]:
        """Labels with those that a namespace gives to what it holds."""
        inherited = dict(labels)
        if found.kind.namespaced:
            namespace = defaults.namespace(found.object.metadata.namespace)
            inherited[NAMESPACE] = namespace
            for key, value in self.namespaces.get(
                namespace, defaults.namespace_labels(namespace, {})
            ).items():
                inherited[f"pcns.{key}"] = value
            inherited["pcns.projectcalico.org/name"] = namespace
        return inherited


def _template(found: LoadedObject) -> tuple[Mapping[str, str], str]:
    """Labels and service account of the pods that an object is or makes."""
    from tsujiban.resources.kinds import apps, batch, calico, core

    obj = found.object
    if isinstance(obj, core.Pod):
        return obj.metadata.labels, defaults.service_account(obj.spec)
    if isinstance(obj, calico.WorkloadEndpoint):
        return obj.metadata.labels, obj.spec.service_account_name or "default"
    template: core.PodTemplate | None = None
    if isinstance(obj, batch.CronJob):
        template = obj.spec.job_template.spec.template
    elif isinstance(
        obj,
        apps.Deployment
        | apps.StatefulSet
        | apps.DaemonSet
        | apps.ReplicaSet
        | apps.ReplicationController
        | batch.Job,
    ):
        template = obj.spec.template
    if template is None:
        return obj.metadata.labels, "default"
    return template.metadata.labels, defaults.service_account(template.spec)


def under(node: Node, prefix: str) -> Node:
    """A selector on a namespace's or service account's labels, as one on what inherits them."""
    from tsujiban.resources.selector_nodes import Contains, EndsWith, Not, NotEquals, NotIn, Or, StartsWith

    if isinstance(node, And | Or):
        return type(node)(tuple(under(part, prefix) for part in node.nodes))
    if isinstance(node, Not):
        return Not(under(node.node, prefix))
    if isinstance(node, Has):
        return Has(prefix + node.label)
    if isinstance(node, Equals | NotEquals | Contains | StartsWith | EndsWith):
        return type(node)(prefix + node.label, node.value)
    if isinstance(node, In | NotIn):
        return type(node)(prefix + node.label, node.values)
    return node


def of_kind(objects: Iterable[LoadedObject], *kinds: str) -> Iterator[LoadedObject]:
    """The objects of some kinds."""
    return (found for found in objects if found.kind.kind in kinds)
