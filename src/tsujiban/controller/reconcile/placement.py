"""Which nodes a pod asks for: `nodeSelector` and node affinity. Taints are `taints`' part. Pure.

What was stored before the form of an affinity was checked may have any: what is none asks for a node that
there is not.
Source: Kubernetes documentation, "Assigning Pods to Nodes".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsujiban.controller.world import Json, mapping, mappings, texts, whole_or

_NAME = "metadata.name"  # the one field that `matchFields` knows
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def wants(node: Json, spec: Json) -> bool:
    """Whether a pod of this spec may be on the node, as far as its own wishes go."""
    if not spec.get("nodeSelector") and not spec.get("affinity"):
        return True  # as most
    found = labels(node)
    if any(found.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    terms = _required(spec)
    return terms is None or any(_matches(term, node["metadata"]["name"], found) for term in terms)


def preference(node: Json, spec: Json) -> int:
    """How much a pod would like to be there: the weights of the preferences that the node fulfils."""
    found = labels(node)
    return sum(
        whole_or(entry.get("weight"), 0)
        for entry in mappings(_node_affinity(spec).get(_PREFERRED))
        if _matches(mapping(entry.get("preference")), node["metadata"]["name"], found)
    )


def pinned(spec: Json) -> str:
    """The one node that a pod asks for by name, as a DaemonSet's do; "" when it does not."""
    terms = _required(spec)
    if terms is None or len(terms) != 1:
        return ""
    fields = list(mappings(terms[0].get("matchFields")))
    if len(fields) == 1 and fields[0].get("key") == _NAME and fields[0].get("operator") == "In":
        values = texts(fields[0].get("values"))
        return values[0] if len(values) == 1 else ""
    return ""


def pin(spec: Json, node: str) -> Json:
    """The affinity of a pod of this spec that is for one node; its preferences stay."""
    term = {"matchFields": [{"key": _NAME, "operator": "In", "values": [node]}]}
    affinity = {**_node_affinity(spec), _REQUIRED: {"nodeSelectorTerms": [term]}}
    return {**mapping(spec.get("affinity")), "nodeAffinity": affinity}


def labels(node: Json) -> dict[str, str]:
    """A node's labels, and the one of its name that every node has."""
    return {
        "kubernetes.io/hostname": node["metadata"]["name"],
        **(node["metadata"].get("labels") or {}),
    }


def _node_affinity(spec: Json) -> Json:
    return mapping(mapping(spec.get("affinity")).get("nodeAffinity"))


def _required(spec: Json) -> list[Json] | None:
    """The terms of which one must hold; None when there is no such wish."""
    found = _node_affinity(spec).get(_REQUIRED)
    return None if found is None else list(mappings(mapping(found).get("nodeSelectorTerms")))


def _matches(term: Json, name: str, labels: Mapping[str, str]) -> bool:
    """A term without any requirement matches nothing."""
    asked = list(mappings(term.get("matchExpressions")))
    fields = list(mappings(term.get("matchFields")))
    holding = all(_holds(one, labels) for one in asked) and all(_holds(one, {_NAME: name}) for one in fields)
    return bool(asked or fields) and holding


def _holds(requirement: Json, labels: Mapping[str, str]) -> bool:
    operator, found = requirement.get("operator"), labels.get(str(requirement.get("key")))
    values = texts(requirement.get("values"))
    if operator == "In":
        return found is not None and found in values
    if operator == "NotIn":
        return found not in values
    if operator == "Exists":
        return found is not None
    if operator == "DoesNotExist":
        return found is None
    numbers = _number(found), _number(next(iter(values), None))
    if None in numbers:
        return False
    return numbers[0] > numbers[1] if operator == "Gt" else operator == "Lt" and numbers[0] < numbers[1]


def _number(text: Any) -> Any:
    try:
        return int(text)
    except (TypeError, ValueError):
        return None
