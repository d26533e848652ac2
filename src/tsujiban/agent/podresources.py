"""What a container is told of its requests and limits (`resourceFieldRef`). Pure but for the machine's size.

They are told as they are written; `agent.cgroups` makes a container keep to its limits. Where no limit is
written it is what the machine has, as in Kubernetes. Source: Kubernetes API reference,
"ResourceFieldSelector".
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from fractions import Fraction

from tsujiban.agent.objects import ConfigError
from tsujiban.resources import quantities
from tsujiban.resources.kinds.core import Container, Pod
from tsujiban.resources.kinds.env import ResourceFieldSelector


def value(pod: Pod, container: Container | None, reference: ResourceFieldSelector) -> str:
    """A whole number of the divisor, rounded up; of `container` where none is named. Raises ConfigError."""
    found = container if not reference.container_name else _named(pod, reference.container_name)
    if found is None:
        raise ConfigError(f"container {reference.container_name!r} not found")
    bound, _, resource = reference.resource.partition(".")
    try:
        divisor = quantities.parse(reference.divisor or 0) or Fraction(1)
        amount = _written(found, bound, resource)
    except ValueError as error:
        raise ConfigError(f"container {found.name}: {reference.resource}: {error}") from None
    if amount is None:
        amount = Fraction(_of_machine(resource)) if bound == "limits" else Fraction(0)
    return str(math.ceil(amount / divisor))


def _named(pod: Pod, name: str) -> Container | None:
    return next((one for one in _all(pod) if one.name == name), None)


def _all(pod: Pod) -> Iterator[Container]:
    yield from pod.spec.containers
    yield from pod.spec.init_containers


def _written(container: Container, bound: str, resource: str) -> Fraction | None:
    resources = container.resources
    bounds = resources.get(bound) if isinstance(resources, dict) else None
    found = bounds.get(resource) if isinstance(bounds, dict) else None
    return None if found is None else quantities.parse(found)


def _of_machine(resource: str) -> int:
    match resource:
        case "cpu":
            return os.cpu_count() or 1
        case "memory":
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        case "ephemeral-storage":
            return shutil.disk_usage("/").total
    return 0
