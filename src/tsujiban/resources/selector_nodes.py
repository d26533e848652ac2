"""The tree of a selector: what the policy engine indexes, and what decides a match.

`str` of a node is its canonical form, which parses back to an equal node.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Node(msgspec.Struct, frozen=True):
    """One node of a selector's tree."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether something with these labels is selected."""
        raise NotImplementedError


class All(Node, frozen=True):
    """`all()`, and the empty selector."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Always."""
        return True

    def __str__(self) -> str:
        return "all()"


class Global(Node, frozen=True):
    """`global()`: in a namespace selector, what is in no namespace. As a label test, true."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Always."""
        return True

    def __str__(self) -> str:
        return "global()"


class Has(Node, frozen=True):
    """`has(label)`."""

    label: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """The label is there."""
        return self.label in labels

    def __str__(self) -> str:
        return f"has({self.label})"


class Equals(Node, frozen=True):
    """`label == "value"`."""

    label: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """The label is there with this value."""
        return labels.get(self.label) == self.value

    def __str__(self) -> str:
        return f"{self.label} == {_quoted(self.value)}"


class NotEquals(Node, frozen=True):
    """`label != "value"`; true also without the label."""

    label: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """The label is not there with this value."""
        return labels.get(self.label) != self.value

    def __str__(self) -> str:
        return f"{self.label} != {_quoted(self.value)}"


class In(Node, frozen=True):
    """`label in {"a", "b"}`."""

    label: str
    values: frozenset[str]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """The label is there with one of the values."""
        return labels.get(self.label) in self.values

    def __str__(self) -> str:
        return f"{self.label} in {_braced(self.values)}"


class NotIn(Node, frozen=True):
    """`label not in {"a", "b"}`; true also without the label."""

    label: str
    values: frozenset[str]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """The label is not there with one of the values."""
        return labels.get(self.label) not in self.values

    def __str__(self) -> str:
        return f"{self.label} not in {_braced(self.values)}"


class Contains(Node, frozen=True):
    """`label contains "part"`."""

    label: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """The label is there and its value holds the part."""
        found = labels.get(self.label)
        return found is not None and self.value in found

    def __str__(self) -> str:
        return f"{self.label} contains {_quoted(self.value)}"


class StartsWith(Node, frozen=True):
    """`label starts with "prefix"`."""

    label: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """The label is there and its value starts so."""
        found = labels.get(self.label)
        return found is not None and found.startswith(self.value)

    def __str__(self) -> str:
        return f"{self.label} starts with {_quoted(self.value)}"


class EndsWith(Node, frozen=True):
    """`label ends with "suffix"`."""

    label: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """The label is there and its value ends so."""
        found = labels.get(self.label)
        return found is not None and found.endswith(self.value)

    def __str__(self) -> str:
        return f"{self.label} ends with {_quoted(self.value)}"


class Not(Node, frozen=True):
    """`!node`."""

    node: Node

    def matches(self, labels: Mapping[str, str]) -> bool:
        """The node does not match."""
        return not self.node.matches(labels)

    def __str__(self) -> str:
        return f"!{self.node}"


class And(Node, frozen=True):
    """`(a && b && …)`."""

    nodes: tuple[Node, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """All nodes match."""
        return all(node.matches(labels) for node in self.nodes)

    def __str__(self) -> str:
        return f"({' && '.join(map(str, self.nodes))})"


class Or(Node, frozen=True):
    """`(a || b || …)`."""

    nodes: tuple[Node, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """One of the nodes matches."""
        return any(node.matches(labels) for node in self.nodes)

    def __str__(self) -> str:
        return f"({' || '.join(map(str, self.nodes))})"


def _quoted(value: str) -> str:
    """In quotes that the value does not hold, so that two trees never share a canonical form."""
    if '"' in value and "'" in value:
        raise ValueError(f"a selector cannot hold both kinds of quotes: {value[:64]!r}")
    return f"'{value}'" if '"' in value else f'"{value}"'


def _braced(values: frozenset[str]) -> str:
    return "{" + ", ".join(map(_quoted, sorted(values))) + "}"
