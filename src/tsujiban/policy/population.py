"""The items there are, kept current with the objects that they come from and inherit from.

Answers two questions for the graph: which items must be looked at again after a change, and
what an item now is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TypeVar

from tsujiban.policy.items import (
    Item,
    Surroundings,
    host_endpoint_item,
    network_set_item,
    node_item,
    pod_item,
    workload_endpoint_item,
)
from tsujiban.policy.tables import put
from tsujiban.resources import defaults
from tsujiban.resources.kinds import calico, core
from tsujiban.resources.kinds.meta import Object

Key = tuple[str, str, str]
Inherited = TypeVar("Inherited")


class Population:
    """Items by number. Numbers are small and used again, for the bitmaps of the index."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.items: dict[int, Item] = {}
        self.nodes: set[int] = set()  # numbers of items that are nodes
        self.dirty: set[Key] = set()
        self._objects: dict[Key, Object] = {}
        self._numbers: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}
        self._free: list[int] = []
        self._heirs: dict[tuple[str, ...], set[Key]] = defaultdict(set)
        self._endpoints: dict[str, set[Key]] = defaultdict(set)

    def change(self, key: Key, old: Object | None, new: Object | None) -> None:
        """Note a change of any object; `dirty` grows by the items that it may concern."""
        around = self.around
        match new if new is not None else old:
            case (
                core.Pod()
                | core.Node()
                | calico.WorkloadEndpoint()
                | calico.HostEndpoint()
                | calico.NetworkSet()
                | calico.GlobalNetworkSet()
            ):
                put(self._objects, key, new)
                self.dirty.add(key)
            case core.Namespace():
                labels = None if new is None else defaults.namespace_labels(key[2], new.metadata.labels)
                self._inherit(around.namespaces, key[2], labels, ("namespace", key[2]))
            case core.ServiceAccount():
                labels = None if new is None else new.metadata.labels
                self._inherit(around.accounts, (key[1], key[2]), labels, ("account", key[1], key[2]))
            case calico.Profile():
                given = new.spec.labels_to_apply if isinstance(new, calico.Profile) else None
                self._inherit(around.profiles, key[2], given, ("profile", key[2]))

    def _inherit(
        self,
        table: dict[Inherited, Mapping[str, str]],
        name: Inherited,
        labels: Mapping[str, str] | None,
        heirs: tuple[str, ...],
    ) -> None:
        if (labels or {}) != table.get(name, {}):
            self.dirty |= self._heirs.get(heirs, set())
        if labels is None:
            table.pop(name, None)
        else:
            table[name] = labels

    def settle(self) -> Iterator[tuple[int, Item | None, Item | None]]:
        """For every item that changed: its number, what it was, what it is (None: is not)."""
        dirty, self.dirty = self.dirty, set()
        for key in sorted(dirty):
            obj = self._objects.get(key)
            new = None if obj is None else self._build(obj)
            number = self._numbers.get(key)
            old = None if number is None else self.items[number]
            if new == old:
                continue
            for heirs in _ancestors(old):
                self._heirs[heirs].discard(key)
            for heirs in _ancestors(new):
                self._heirs[heirs].add(key)
            if old is not None and old.endpoint:
                self._endpoints[old.endpoint].discard(key)
            if new is not None and new.endpoint:
                self._endpoints[new.endpoint].add(key)
            if number is None:
                number = self._free.pop() if self._free else len(self._numbers)
                self._numbers[key], self._keys[number] = number, key
                if isinstance(obj, core.Node):
                    self.nodes.add(number)
            if new is None:
                del self.items[number], self._numbers[key], self._keys[number]
                yield number, old, None
                self.nodes.discard(number)
                self._free.append(number)
            else:
                self.items[number] = new
                yield number, old, new

    def endpoint(self, name: str) -> tuple[int, Item] | None:
        """The item behind an endpoint's id; of several, the first by key."""
        keys = self._endpoints.get(name)
        if not keys:
            return None
        number = self._numbers[min(keys)]
        return number, self.items[number]

    def _build(self, obj: Object) -> Item | None:
        match obj:
            case core.Pod():
                return pod_item(obj, self.around)
            case calico.WorkloadEndpoint():
                return workload_endpoint_item(obj, self.around)
            case calico.HostEndpoint():
                return host_endpoint_item(obj, self.around)
            case calico.NetworkSet() | calico.GlobalNetworkSet():
                return network_set_item(obj, self.around)
            case core.Node():
                return node_item(obj)
        raise TypeError(f"no item: {type(obj).__name__}")


def _ancestors(item: Item | None) -> Iterator[tuple[str, ...]]:
    if item is None:
        return
    if item.namespace:
        yield ("namespace", item.namespace)
    if item.account:
        yield ("account", item.namespace, item.account)
    for profile in item.profiles:
        yield ("profile", profile)
