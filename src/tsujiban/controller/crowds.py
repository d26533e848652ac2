"""Pods that are alike in all that matters to where others go, and how many of them each node has.

Replicas are alike: to look at each of ten thousand whenever a pod is placed would be a square. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Crowd(NamedTuple):
    """Pods of a namespace with these labels, that end or do not, and with these terms of anti-affinity."""

    namespace: str
    labels: dict[str, str]
    ending: bool = False
    terms: Sequence[dict[str, Any]] = ()

    def key(self) -> tuple[object, ...]:
        """The same for those that are alike."""
        terms = json.dumps(self.terms, sort_keys=True) if self.terms else ""
        return frozenset(self.labels.items()), self.ending, terms


Found = tuple[Crowd, Counter[str]]  # the pods of each node


class Crowds:
    """Crowds by namespace; each is there while it has a pod."""

    def __init__(self) -> None:
        self._found: dict[str, dict[tuple[object, ...], Found]] = {}

    def count(self, crowd: Crowd, node: str, number: int) -> None:
        """So many more such pods are on a node; fewer, if it is negative."""
        key, space = crowd.key(), self._found.setdefault(crowd.namespace, {})
        _, nodes = space.setdefault(key, (crowd, Counter()))
        nodes[node] += number
        if not nodes[node]:
            del nodes[node]
        if not nodes:
            del space[key]
        if not space:
            del self._found[crowd.namespace]

    def all(self, namespace: str | None = None) -> Iterator[Found]:
        """Those of one namespace, or of every one."""
        if namespace is not None:
            yield from self._found.get(namespace, {}).values()
            return
        for space in self._found.values():
            yield from space.values()
