"""Single nodes of a selector."""

from __future__ import annotations

import pytest

from tsujiban.resources.selector_nodes import All, And, Equals, Has, In, Node, Not, NotEquals, NotIn, Or


@pytest.mark.parametrize("node", [NotEquals("a", "x"), NotIn("a", frozenset("x")), Not(Has("a"))])
def test_negations_hold_without_the_label(node: Node) -> None:
    assert node.matches({})


@pytest.mark.parametrize("node", [Equals("a", ""), In("a", frozenset(("",))), Has("a")])
def test_the_empty_value_is_not_no_label(node: Node) -> None:
    assert node.matches({"a": ""})
    assert not node.matches({})


def test_an_empty_set_of_values_matches_nothing() -> None:
    assert not In("a", frozenset()).matches({"a": ""})
    assert NotIn("a", frozenset()).matches({"a": ""})


def test_canonical_text() -> None:
    node = And((Or((Has("b"), All())), Not(In("a", frozenset(("z", "y"))))))
    assert str(node) == '((has(b) || all()) && !a in {"y", "z"})'


def test_a_value_that_no_quotes_can_hold_has_no_text() -> None:
    with pytest.raises(ValueError, match="quotes"):
        str(Equals("a", "\"'"))
