"""Which selectors select which items, kept current at the cost of what a change touches.

A selector is filed under labels that whatever it selects must have (its anchor), so a changed
item is tested only against the selectors that its labels lead to, and a new selector only
against the items that its anchor leads to. Items are small integers and matches are bitmaps:
with fifty thousand pods, sets of objects would be most of the memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

from pyroaring import BitMap

from tsujiban.policy.predicates import KUBERNETES, NAMESPACE, ORCHESTRATOR
from tsujiban.resources.selector_nodes import (
    All,
    And,
    Contains,
    EndsWith,
    Equals,
    Has,
    In,
    Node,
    Or,
    StartsWith,
)

Name = TypeVar("Name", bound=Hashable)
Pair = tuple[str, str | None]  # label and value; None is any value

COMMON: Pair = (ORCHESTRATOR, KUBERNETES)
"""What nearly every item has: the worst anchor there is."""

NO_LABELS: Mapping[str, str] = {}


class LabelIndex(Generic[Name]):
    """Items with labels, and named selectors over them."""

    def __init__(self) -> None:
        self._labels: dict[int, Mapping[str, str]] = {}
        self._nodes: dict[Name, Node] = {}
        self._matched: dict[Name, BitMap] = {}
        self._anchor: dict[Name, tuple[Pair, ...] | None] = {}
        self._by_anchor: dict[Pair, set[Name]] = {}
        self._loose: set[Name] = set()  # selectors without an anchor
        self._items: dict[Pair, BitMap] = {}

    def set_item(self, item: int, labels: Mapping[str, str]) -> tuple[list[Name], list[Name]]:
        """Give an item labels; returns the selectors that now select it, and that no longer do."""
        old = self._labels.get(item, NO_LABELS)
        new_item = item not in self._labels
        candidates = self._candidates(labels)
        if not new_item:
            candidates |= self._candidates(old)
        self._labels[item] = labels
        self._file(item, old, labels)
        gained: list[Name] = []
        lost: list[Name] = []
        for name in candidates:
            matched = self._matched[name]
            was, now = item in matched, self._nodes[name].matches(labels)
            if now and not was:
                matched.add(item)
                gained.append(name)
            elif was and not now:
                matched.discard(item)
                lost.append(name)
        return gained, lost

    def remove_item(self, item: int) -> list[Name]:
        """Forget an item; returns the selectors that selected it."""
        labels = self._labels.pop(item)
        lost = [name for name in self._candidates(labels) if item in self._matched[name]]
        for name in lost:
            self._matched[name].discard(item)
        self._file(item, labels, NO_LABELS)
        return lost

    def add_selector(self, name: Name, node: Node) -> BitMap:
        """Add a selector; returns what it selects. The name must be new."""
        anchor = self._best_anchor(node)
        if anchor is None:
            self._loose.add(name)
            pool = BitMap(self._labels)
        else:
            pool = BitMap()
            for pair in anchor:
                self._by_anchor.setdefault(pair, set()).add(name)
                pool |= self._items.get(pair, BitMap())
        self._nodes[name] = node
        self._anchor[name] = anchor
        labels, matches = self._labels, node.matches
        matched = pool if isinstance(node, All) else BitMap(i for i in pool if matches(labels[i]))
        self._matched[name] = matched
        return matched

    def remove_selector(self, name: Name) -> BitMap:
        """Forget a selector; returns what it selected."""
        del self._nodes[name]
        anchor = self._anchor.pop(name)
        if anchor is None:
            self._loose.discard(name)
        else:
            for pair in anchor:
                names = self._by_anchor[pair]
                names.discard(name)
                if not names:
                    del self._by_anchor[pair]
        return self._matched.pop(name)

    def matched(self, name: Name) -> BitMap:
        """What a selector selects. Not to be changed by the caller."""
        return self._matched[name]

    def selectors_of(self, item: int) -> Iterator[Name]:
        """The selectors that select an item."""
        for name in self._candidates(self._labels[item]):
            if item in self._matched[name]:
                yield name

    def _candidates(self, labels: Mapping[str, str]) -> set[Name]:
        found = set(self._loose)
        for label, value in labels.items():
            exact = self._by_anchor.get((label, value))
            if exact:
                found |= exact
            present = self._by_anchor.get((label, None))
            if present:
                found |= present
        return found

    def _file(self, item: int, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        for label, value in old.items():
            if new.get(label) != value:
                self._discard((label, value), item)
                if label not in new:
                    self._discard((label, None), item)
        for label, value in new.items():
            if old.get(label) != value:
                self._items.setdefault((label, value), BitMap()).add(item)
                if label not in old:
                    self._items.setdefault((label, None), BitMap()).add(item)

    def _discard(self, pair: Pair, item: int) -> None:
        items = self._items[pair]
        items.discard(item)
        if not items:
            del self._items[pair]

    def _best_anchor(self, node: Node) -> tuple[Pair, ...] | None:
        """Label and value pairs of which whatever the node selects has at least one; None when
        there are no such. Of the parts of a conjunction, the one with the fewest items at this
        time counts; while there are none, the one that is likely to have the fewest."""
        match node:
            case Equals(label, value):
                return ((label, value),)
            case In(label, values):
                return tuple((label, value) for value in sorted(values))
            case Has(label) | Contains(label, _) | StartsWith(label, _) | EndsWith(label, _):
                return ((label, None),)
            case Or(nodes):
                parts = [self._best_anchor(part) for part in nodes]
                known = [part for part in parts if part is not None]
                if len(known) < len(parts):
                    return None
                return tuple(dict.fromkeys(pair for part in known for pair in part))
            case And(nodes):
                found = [part for part in map(self._best_anchor, nodes) if part is not None]
                return min(found, key=self._cost, default=None)
        return None

    def _cost(self, anchor: tuple[Pair, ...]) -> tuple[int, int, int]:
        """How many items an anchor leads to; then, whether its labels are apt to be on many."""
        items = sum(len(self._items.get(pair, ())) for pair in anchor)
        wide = max((_width(pair) for pair in anchor), default=0)
        return (wide == _width(COMMON), items, wide)


def _width(pair: Pair) -> int:
    if pair == COMMON:
        return 3
    if pair[1] is None:
        return 2
    return 0 if pair[0] == NAMESPACE else 1
