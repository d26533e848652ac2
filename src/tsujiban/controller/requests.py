"""What pods ask of their node, and what a node has. Pure.

Source: Kubernetes "Resource Management for Pods and Containers" and "Sidecar Containers" (which of the init
containers count beside which).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from tsujiban.resources import quantities

COUNTED = ("cpu", "memory")

Json = dict[str, Any]
Amounts = dict[str, Fraction]


def of(pod: Json) -> Amounts:
    """What a pod asks for, as much as it needs at one time; what is no quantity counts nothing."""
    spec = pod.get("spec") or {}
    beside: Amounts = {}  # init containers that go on
    first: Amounts = {}  # the most that is needed before the others begin
    for container in spec.get("initContainers") or ():
        asked = _asked(container)
        now = _sum(beside, asked)
        first = {name: max(first.get(name, Fraction(0)), now.get(name, Fraction(0))) for name in COUNTED}
        if container.get("restartPolicy") == "Always":
            beside = now
    for container in spec.get("containers") or ():
        beside = _sum(beside, _asked(container))
    total = {name: max(first.get(name, Fraction(0)), beside.get(name, Fraction(0))) for name in COUNTED}
    return {name: amount for name, amount in total.items() if amount}


def lacking(node: Json, taken: Mapping[str, Fraction], asked: Amounts) -> str:
    """The first thing of which a node, where so much is taken, has not enough; "" when it has."""
    status = node.get("status") or {}
    said = status.get("allocatable")
    has = said if isinstance(said, dict) else {}
    for name, amount in asked.items():
        if name in has and taken.get(name, Fraction(0)) + amount > _amount(has[name]):
            return name
    return ""


def _asked(container: Json) -> Amounts:
    resources = container.get("resources")
    requests = resources.get("requests") if isinstance(resources, dict) else None
    if not isinstance(requests, dict):
        return {}
    return {name: _amount(requests[name]) for name in COUNTED if name in requests}


def _amount(quantity: Any) -> Fraction:
    try:
        return max(quantities.parse(quantity), Fraction(0))
    except ValueError:
        return Fraction(0)


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return {
        name: one.get(name, Fraction(0)) + other.get(name, Fraction(0)) for name in one.keys() | other.keys()
    }
