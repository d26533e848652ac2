"""Selectors: a canonical form that means the same, and no input that takes long."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsujiban.resources import selectors
from tsujiban.resources.selector_nodes import (
    All,
    And,
    Contains,
    EndsWith,
    Equals,
    Has,
    In,
    Node,
    Not,
    NotEquals,
    NotIn,
    Or,
    StartsWith,
)

LABELS = st.sampled_from(["a", "b", "in", "has", "not", "all", "a/b.c-d_e"])
VALUES = st.sampled_from(["", "x", "xy", "y", "'", "x y", "&&", ")"])
LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(All),
    st.builds(Has, LABELS),
    *(st.builds(kind, LABELS, VALUES) for kind in (Equals, NotEquals, Contains, StartsWith, EndsWith)),
    *(st.builds(kind, LABELS, st.frozensets(VALUES, max_size=3)) for kind in (In, NotIn)),
)


def _negated(node: Node) -> Node:
    """As the parser has it: two negations are none."""
    return node.node if isinstance(node, Not) else Not(node)


NODES: st.SearchStrategy[Node] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(_negated),
        *(st.builds(kind, st.lists(inner, min_size=2, max_size=3).map(tuple)) for kind in (And, Or)),
    ),
    max_leaves=12,
)
POPULATION = st.dictionaries(LABELS, VALUES, max_size=4)


@settings(max_examples=500)
@given(NODES, POPULATION)
def test_canonical_form_is_the_same_selector(node: Node, labels: dict[str, str]) -> None:
    selector = selectors.of(node)
    again = selectors.parse(selector.canonical)
    assert again.node == node
    assert again.matches(labels) is node.matches(labels)


@settings(max_examples=500)
@given(NODES, POPULATION)
def test_not_is_the_opposite(node: Node, labels: dict[str, str]) -> None:
    assert selectors.of(Not(node)).matches(labels) is not node.matches(labels)


@settings(max_examples=500)
@given(st.text(alphabet=st.sampled_from(list("ab!&|(){},'\"= \thasinotl")), max_size=60))
def test_random_text_is_a_selector_or_an_error_with_its_place(text: str) -> None:
    position = 0
    try:
        selectors.parse(text)
    except selectors.SelectorError as error:
        position = error.position
    assert 0 <= position <= len(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "!" * 100_000,
        "a in {" + "'x'," * 60_000,
        " || ".join(["a == 'b'"] * 20_000),
        "a == '" + "x" * 200_000,
        "has(" * 50_000,
        " " * 200_000,
        "a" * 200_000,
        "(" * 60 + "a == 'b' && " * 10_000,
        "x" * 10_000_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """A bounded number of lines of the parser is run for a character, whatever the text."""
    with counted_lines() as lines, suppress(selectors.SelectorError):
        selectors.parse(text)
    assert sum(lines.values()) <= 20 * min(len(text), selectors.MAX_LENGTH) + 1000


@contextmanager
def counted_lines() -> Iterator[Counter[str]]:
    """Lines of Python that are run in the block, by file."""
    lines: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            lines[frame.f_code.co_filename] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)
