"""What the kernel holds of one of our tables, in the same terms as what a renderer wants.

`list` speaks libnftables' JSON; this module turns it into names, comments and canonical
elements, so that the two can be compared object by object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from tsujiban.kernel.table import Chain, Hook, Set, Table


@dataclass(frozen=True)
class HeldChain:
    """A chain: where it hooks, and the comments of its rules in order."""

    hook: Hook | None
    marks: tuple[str, ...]


@dataclass
class Held:
    """A table as the kernel holds it."""

    chains: dict[str, HeldChain] = field(default_factory=dict)
    sets: dict[str, Set] = field(default_factory=dict)
    counters: set[str] = field(default_factory=set)
    flags: frozenset[str] = frozenset()  # of the table; ours have none, a dormant one does nothing
    made_of: dict[str, Chain] | None = field(default=None, compare=False)  # the table's own chains

    @classmethod
    def of(cls, table: Table, before: Held | None = None) -> Held:
        """What the kernel holds once `table` is in force, after it held `before`."""
        if before is not None and before.made_of is table.chains:
            return cls(before.chains, dict(table.sets), before.counters, made_of=table.chains)
        return cls(
            chains={chain.name: HeldChain(chain.hook, chain.marks) for chain in table.chains.values()},
            sets=dict(table.sets),
            counters=set(table.counters),
            made_of=table.chains,
        )


def read(listing: Iterable[dict[str, Any]], known: dict[str, str] | None = None) -> Held:
    """What a JSON listing of one table says.

    `known` remembers what stood behind each comment when it was first seen: a rule that keeps its
    comment and does something else counts as a rule without one.
    """
    held = Held()
    known = {} if known is None else known
    hooks: dict[str, Hook | None] = {}
    marks: dict[str, list[str]] = {}
    for entry in listing:
        for kind, item in entry.items():
            if kind == "table":
                held.flags = frozenset(_list(item.get("flags", ())))
            elif kind == "chain":
                hooks[item["name"]] = _hook(item)
                marks.setdefault(item["name"], [])
            elif kind == "rule":
                marks.setdefault(item["chain"], []).append(_mark(item, known))
            elif kind in ("set", "map"):
                held.sets[item["name"]] = _set(item)
            elif kind == "counter":
                held.counters.add(item["name"])
    held.chains = {name: HeldChain(hook, tuple(marks[name])) for name, hook in hooks.items()}
    return held


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _mark(rule: dict[str, Any], known: dict[str, str]) -> str:
    comment = str(rule.get("comment", ""))
    # what a counter has counted changes by itself
    terms = [{"counter": None} if isinstance(term.get("counter"), dict) else term for term in rule["expr"]]
    text = json.dumps(terms)
    return comment if known.setdefault(comment, text) == text else ""


def _hook(item: dict[str, Any]) -> Hook | None:
    if "hook" not in item:
        return None
    return Hook(item["type"], item["hook"], int(item["prio"]), item.get("policy", "accept"))


def _type(value: str | list[str]) -> str:
    return value if isinstance(value, str) else " . ".join(value)


def _set(item: dict[str, Any]) -> Set:
    interval = "interval" in _list(item.get("flags", ()))
    elements: dict[str, str] = {}
    size = int(item.get("size", 0))
    for element in () if size else item.get("elem", ()):  # what rules fill is the kernel's own
        if "map" in item:
            elements[_key(element[0])] = _data(element[1])
        else:
            elements[_key(element)] = ""
    return Set(
        name=item["name"],
        type=_type(item["type"]),
        elements=elements,
        data=_type(item.get("map", "")),
        interval=interval,
        size=size,
        timeout=int(item.get("timeout", 0)),
    )


def _key(value: Any) -> str:
    """An element in the canonical form of `table.Set`."""
    if not isinstance(value, dict):
        return str(value)
    if "elem" in value:  # with a comment, a counter or a time-out: somebody else's, but an element
        return _key(value["elem"]["val"])
    if "concat" in value:
        return " . ".join(map(_key, value["concat"]))
    if "prefix" in value:
        net = ip_network(f"{value['prefix']['addr']}/{value['prefix']['len']}", strict=False)
        return str(net[0]) if net[0] == net[-1] else f"{net[0]}-{net[-1]}"
    if "range" in value:
        first, last = value["range"]
        return f"{first}-{last}"
    return json.dumps(value, sort_keys=True)


def _data(value: Any) -> str:
    """A map's datum: `jump CHAIN`, `goto CHAIN`, `drop`, or as an element."""
    if isinstance(value, dict) and len(value) == 1:
        verdict, inner = next(iter(value.items()))
        if verdict in ("jump", "goto"):
            return f"{verdict} {inner['target']}"
        if inner is None:
            return str(verdict)
    return _key(value)
