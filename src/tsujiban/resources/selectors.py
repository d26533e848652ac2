"""Label selectors: Calico's whole grammar, and Kubernetes' matchLabels/matchExpressions, as one tree.

Hand-written, because a selector comes from a user and must be read in linear time, within a
bounded depth and size, with an error that names the position. The nodes are public: the policy
engine indexes selectors by the labels that they ask for.

Grammar (Calico's reference, "Selector"; no escapes in string literals):

    or    = and *( "||" and )
    and   = unary *( "&&" unary )
    unary = *"!" ( "(" or ")" / "all()" / "global()" / "has(" label ")" / label operator )
    operator = ( "==" / "!=" / "contains" / "starts with" / "ends with" ) string
             / ( "in" / "not in" ) "{" [ string *( "," string ) ] "}"
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn
from weakref import WeakValueDictionary

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

if TYPE_CHECKING:
    from tsujiban.resources.kinds.meta import LabelSelector

MAX_LENGTH = 262_144
"""Longest selector, in characters."""

MAX_DEPTH = 64
"""Deepest nesting of parentheses and of negations."""

_CACHED_LENGTH = 1024  # texts no longer than this are remembered whole


class SelectorError(ValueError):
    """Not a selector. `position` is the offset (from 0) of what is wrong in the text."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message}, at character {position + 1}")
        self.position = position


class Selector:
    """A parsed selector. Interned: two of one canonical form are one object."""

    __slots__ = ("__weakref__", "canonical", "matches", "node")

    def __init__(self, node: Node, canonical: str) -> None:
        self.node = node
        self.canonical = canonical
        self.matches = node.matches

    def __str__(self) -> str:
        return self.canonical

    def __repr__(self) -> str:
        return f"Selector({self.canonical})"


_interned: WeakValueDictionary[str, Selector] = WeakValueDictionary()


def of(node: Node) -> Selector:
    """The selector of a tree."""
    canonical = str(node)
    selector = _interned.get(canonical)
    if selector is None:
        selector = _interned.setdefault(canonical, Selector(node, canonical))
    return selector


def parse(text: str) -> Selector:
    """Read a selector in Calico's grammar; the empty one selects everything.

    Raises SelectorError.
    """
    if len(text) <= _CACHED_LENGTH:
        return _parse_short(text)
    if len(text) > MAX_LENGTH:
        raise SelectorError(f"selector is longer than {MAX_LENGTH} characters", MAX_LENGTH)
    return of(_Parser(text).parse())


def from_label_selector(selector: LabelSelector | None) -> Selector:
    """Kubernetes' form. Empty selects everything; absent (None) selects nothing.

    Raises ValueError for what validation refuses: an operator that does not exist, a key or a
    value that is none.
    """
    if selector is None:
        return NOTHING
    nodes: list[Node] = [Equals(_key(key), value) for key, value in sorted(selector.match_labels.items())]
    for requirement in selector.match_expressions:
        _key(requirement.key)
        match requirement.operator:
            case "In":
                nodes.append(In(requirement.key, frozenset(requirement.values)))
            case "NotIn":
                nodes.append(NotIn(requirement.key, frozenset(requirement.values)))
            case "Exists":
                nodes.append(Has(requirement.key))
            case "DoesNotExist":
                nodes.append(Not(Has(requirement.key)))
            case other:
                raise ValueError(f"unknown operator {other!r} in a label selector")
    if not nodes:
        return EVERYTHING
    return of(nodes[0] if len(nodes) == 1 else And(tuple(nodes)))


def conjunction(*selectors: Selector) -> Selector:
    """What every one of them selects."""
    nodes = tuple(dict.fromkeys(s.node for s in selectors if not isinstance(s.node, All)))
    if not nodes:
        return EVERYTHING
    return of(nodes[0] if len(nodes) == 1 else And(nodes))


def _key(key: str) -> str:
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"not a label's key: {key[:64]!r}")
    return key


@lru_cache(maxsize=16_384)
def _parse_short(text: str) -> Selector:
    return of(_Parser(text).parse())


_LABEL = r"[a-zA-Z0-9_./\-]{1,512}"
_OPERAND = re.compile(
    rf"(?P<open>\()|(?P<has>has\([ \t]*(?P<label>{_LABEL})[ \t]*\))|(?P<all>all\([ \t]*\))"
    rf"|(?P<global>global\([ \t]*\))|(?P<name>{_LABEL})"
)
_OPERATOR = re.compile(
    r"(?P<eq>==)|(?P<ne>!=)|(?P<contains>contains)|(?P<starts>starts[ \t]*with)|(?P<ends>ends[ \t]*with)"
    r"|(?P<notin>not[ \t]*in\b)|(?P<in>in\b)"
)
_KEY = re.compile(_LABEL)
_BLANK = re.compile(r"[ \t]*")
_COMPARISONS: dict[str, type[Equals | NotEquals | Contains | StartsWith | EndsWith]] = {
    "eq": Equals,
    "ne": NotEquals,
    "contains": Contains,
    "starts": StartsWith,
    "ends": EndsWith,
}


class _Parser:
    """Recursive descent over one text; every character is looked at a bounded number of times."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def parse(self) -> Node:
        self._blank()
        if self.at == len(self.text):
            return All()
        node = self._or()
        if self.at < len(self.text):
            self._fail("expected '&&', '||' or the end of the selector")
        return node

    def _or(self) -> Node:
        nodes = [self._and()]
        while self._take("||"):
            nodes.append(self._and())
        return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))

    def _and(self) -> Node:
        nodes = [self._unary()]
        while self._take("&&"):
            nodes.append(self._unary())
        return nodes[0] if len(nodes) == 1 else And(tuple(nodes))

    def _unary(self) -> Node:
        negations = 0
        while self._take("!"):
            negations += 1
            self._deeper()
        node = self._operand()
        self.depth -= negations
        return Not(node) if negations % 2 else node  # as in Calico, so that ids and normal forms agree

    def _operand(self) -> Node:
        match = _OPERAND.match(self.text, self.at)
        if match is None:
            self._fail("expected a label, 'has(label)', 'all()', 'global()', '!' or '('")
        start = self.at
        self.at = match.end()
        self._blank()
        match match.lastgroup:
            case "open":
                self._deeper()
                node = self._or()
                if not self._take(")"):
                    self._fail("expected ')'")
                self.depth -= 1
                return node
            case "has":
                return Has(match["label"])
            case "all":
                return All()
            case "global":
                return Global()
            case _:
                return self._comparison(match["name"], start)

    def _comparison(self, label: str, start: int) -> Node:
        match = _OPERATOR.match(self.text, self.at)
        if match is None:
            self.at = max(start, self.at)
            self._fail(
                f"expected an operator after label {label[:64]!r}: '==', '!=', 'in', 'not in', "
                "'contains', 'starts with' or 'ends with'"
            )
        self.at = match.end()
        self._blank()
        operator = match.lastgroup or ""
        if operator == "in":
            return In(label, self._values())
        if operator == "notin":
            return NotIn(label, self._values())
        return _COMPARISONS[operator](label, self._string())

    def _values(self) -> frozenset[str]:
        if not self._take("{"):
            self._fail("expected '{'")
        values = set()
        while not self._take("}"):
            values.add(self._string())
            if not self._take(",") and not self.text.startswith("}", self.at):
                self._fail("expected ',' or '}'")
        return frozenset(values)

    def _string(self) -> str:
        quote = self.text[self.at : self.at + 1]
        if quote not in ("'", '"'):
            self._fail("expected a string in quotes")
        end = self.text.find(quote, self.at + 1)
        if end < 0:
            self._fail("string without closing quote")
        value = self.text[self.at + 1 : end]
        self.at = end + 1
        self._blank()
        return value

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(f"selector is nested deeper than {MAX_DEPTH}")

    def _take(self, token: str) -> bool:
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        self._blank()
        return True

    def _blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        if match is not None:
            self.at = match.end()

    def _fail(self, message: str) -> NoReturn:
        raise SelectorError(message, self.at)


EVERYTHING = of(All())
NOTHING = of(Not(All()))
