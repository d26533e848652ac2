"""A whole nftables table as plain data.

Renderers make it, `diff` compares it with what the kernel holds, and nothing in it knows why a
rule exists. Every rule carries a digest of its text as its comment: reading the comments back
shows whether a chain is still the one that was programmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tsujiban.kernel.names import digest

FAMILY = "inet"


@dataclass(frozen=True)
class Hook:
    """Where a base chain is attached. `priority` as a number; lower is earlier."""

    type: str
    hook: str
    priority: int
    policy: str = "accept"

    def text(self) -> str:
        """As nft reads it."""
        return f"type {self.type} hook {self.hook} priority {self.priority}; policy {self.policy};"


@dataclass(frozen=True)
class Chain:
    """An ordered list of rules, each without its comment; base chains have a hook."""

    name: str
    rules: tuple[str, ...]
    hook: Hook | None = None

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """The comments of the rules: digests of their texts."""
        return tuple(digest(rule) for rule in self.rules)


@dataclass(frozen=True)
class Set:
    """A named set, or with `data` a named map. `elements` maps a key to its data ("" in a set).

    Keys and data are in canonical form: addresses as `ipaddress` writes them, numbers in
    decimal, ranges `first-last`, concatenations joined by ` . `. An interval set's ranges
    neither overlap nor touch. A set with a `size` is filled by rules, up to so many elements, each
    of which the kernel forgets when it has not been met for `timeout` seconds, or counts nothing.
    """

    name: str
    type: str
    elements: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    interval: bool = False
    size: int = 0
    timeout: int = 0

    @property
    def kind(self) -> str:
        """What nft calls it."""
        return "map" if self.data else "set"

    def shape(self) -> tuple[str, str, bool, int, int]:
        """What cannot be changed without making it anew."""
        return (self.type, self.data, self.interval, self.size, self.timeout)

    def declaration(self) -> str:
        """What stands between the braces of its `add` command."""
        flags = " flags interval;" if self.interval else ""
        if self.size:
            times = f" flags dynamic,timeout; timeout {self.timeout}s;" if self.timeout else " flags dynamic;"
            flags = f" size {self.size};{times}"
        return f"type {self.type}{' : ' + self.data if self.data else ''};{flags}"


@dataclass
class Table:
    """One table of family inet, all of it. `counters` maps a counter's name to its comment."""

    name: str
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Set] = field(default_factory=dict)
    counters: dict[str, str] = field(default_factory=dict)

    def add(self, item: Chain | Set) -> str:
        """Hold `item` and return its name. The same item may come again; another by its name may not."""
        if isinstance(item, Chain):
            known: Chain | Set = self.chains.setdefault(item.name, item)
        else:
            known = self.sets.setdefault(item.name, item)
        if known is not item and known != item:
            raise ValueError(f"two different objects are called {item.name} in table {self.name}")
        return item.name
