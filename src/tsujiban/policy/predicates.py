"""Selectors over effective labels: what a workload is called, by itself and by inheritance.

All dialects become one kind of selector: over the labels of the endpoint, of its namespace
(`pcns.` in front), of its service account (`pcsa.`), and three facts (namespace, orchestrator,
service account). That is Calico's scheme, and Kubernetes' and Istio's selectors fit in it, so
one index answers for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tsujiban.resources import selectors
from tsujiban.resources.kinds.meta import LabelSelector
from tsujiban.resources.selector_nodes import (
    All,
    And,
    Contains,
    EndsWith,
    Equals,
    Global,
    Has,
    In,
    Node,
    Not,
    NotEquals,
    NotIn,
    Or,
    StartsWith,
)
from tsujiban.resources.selectors import Selector

NAMESPACE = "projectcalico.org/namespace"
ORCHESTRATOR = "projectcalico.org/orchestrator"
SERVICE_ACCOUNT = "projectcalico.org/serviceaccount"
NAMESPACE_PREFIX = "pcns."
SERVICE_ACCOUNT_PREFIX = "pcsa."
KUBERNETES = "k8s"

Labelled = TypeVar("Labelled", Has, Equals, NotEquals, In, NotIn, Contains, StartsWith, EndsWith)

IN_KUBERNETES = selectors.of(Equals(ORCHESTRATOR, KUBERNETES))


def prefixed(selector: Selector, prefix: str, fact: str) -> Selector:
    """The same selector about inherited labels.

    `all()` then means: whatever has `fact` (a namespace, a service account); `global()` means
    what has not.
    """
    return selectors.of(_prefix(selector.node, prefix, fact))


def _prefix(node: Node, prefix: str, fact: str) -> Node:
    match node:
        case All():
            return Has(fact)
        case Global():
            return Not(Has(fact))
        case Not(inner):
            return Not(_prefix(inner, prefix, fact))
        case And(nodes):
            return And(tuple(_prefix(n, prefix, fact) for n in nodes))
        case Or(nodes):
            return Or(tuple(_prefix(n, prefix, fact) for n in nodes))
        case Has(label):
            return Has(prefix + label)
        case In(label, values):
            return In(prefix + label, values)
        case NotIn(label, values):
            return NotIn(prefix + label, values)
        case Equals(label, value):
            return Equals(prefix + label, value)
        case NotEquals(label, value):
            return NotEquals(prefix + label, value)
        case Contains(label, value):
            return Contains(prefix + label, value)
        case StartsWith(label, value):
            return StartsWith(prefix + label, value)
        case EndsWith(label, value):
            return EndsWith(prefix + label, value)
    raise TypeError(f"no such selector node: {node!r}")


def in_namespaces(selector: Selector) -> Selector:
    """What lies in the namespaces that a namespace selector selects."""
    return prefixed(selector, NAMESPACE_PREFIX, NAMESPACE)


def with_accounts(selector: Selector) -> Selector:
    """What runs as the service accounts that a selector selects."""
    return prefixed(selector, SERVICE_ACCOUNT_PREFIX, SERVICE_ACCOUNT)


def in_namespace(name: str) -> Selector:
    """What lies in one namespace."""
    return selectors.of(Equals(NAMESPACE, name))


def union(parts: Iterable[Selector]) -> Selector:
    """What any of them selects."""
    nodes = tuple(dict.fromkeys(part.node for part in parts))
    if not nodes:
        return selectors.NOTHING
    return selectors.of(nodes[0] if len(nodes) == 1 else Or(nodes))


def labels(selector: LabelSelector | None) -> Selector:
    """A Kubernetes label selector; an absent one selects everything (as peers mean it)."""
    return selectors.EVERYTHING if selector is None else selectors.from_label_selector(selector)


def pods(
    namespace: str | None, namespace_selector: LabelSelector | None, pod_selector: LabelSelector | None
) -> Selector:
    """Pods of Kubernetes: in one namespace, or in those that a selector selects."""
    place = (
        in_namespace(namespace)
        if namespace is not None
        else in_namespaces(selectors.from_label_selector(namespace_selector))
    )
    return selectors.conjunction(IN_KUBERNETES, place, labels(pod_selector))
