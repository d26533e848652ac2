"""Selectors from text and from Kubernetes' form."""

from __future__ import annotations

import pytest

from tsujiban.resources import selectors
from tsujiban.resources.kinds.meta import LabelSelector, LabelSelectorRequirement
from tsujiban.resources.selectors import (
    EVERYTHING,
    NOTHING,
    SelectorError,
    conjunction,
    from_label_selector,
    parse,
)


def test_equal_selectors_are_one_object() -> None:
    assert parse("a=='b'") is parse(' a == "b" ')
    assert parse("a == 'b'") is from_label_selector(LabelSelector(match_labels={"a": "b"}))


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a == b", 5),
        ("(a == 'b'", 9),
        ("a == 'b' c", 9),
        ("a in {'x' 'y'}", 10),
        ("a ==  'b", 6),
        ("has (a)", 4),
    ],
)
def test_an_error_names_its_place(text: str, position: int) -> None:
    with pytest.raises(SelectorError) as caught:
        parse(text)
    assert caught.value.position == position
    assert f"at character {position + 1}" in str(caught.value)


def test_words_of_the_grammar_can_be_labels() -> None:
    assert parse("in in {'in'}").matches({"in": "in"})
    assert parse("contains contains 'x'").matches({"contains": "axb"})
    assert parse("has == 'x'").matches({"has": "x"})
    assert parse("all == 'x'").matches({"all": "x"})


def test_a_trailing_comma_and_an_empty_set_are_taken_as_calico_takes_them() -> None:
    assert parse("a in {'x',}").canonical == 'a in {"x"}'
    assert parse("a in {}").canonical == "a in {}"
    assert parse("! !has(a)").canonical == "has(a)"
    assert parse("!!!has(a)").canonical == "!has(a)"
    assert parse("!(!has(a))").canonical == "!!has(a)"


def test_and_binds_closer_than_or() -> None:
    assert parse("has(a) || has(b) && has(c)").matches({"a": ""})
    assert not parse("(has(a) || has(b)) && has(c)").matches({"a": ""})


def test_length_is_bounded() -> None:
    with pytest.raises(SelectorError, match="longer"):
        parse(" " * (selectors.MAX_LENGTH + 1))


def test_depth_is_bounded() -> None:
    deep = "(" * selectors.MAX_DEPTH + "has(a)" + ")" * selectors.MAX_DEPTH
    assert parse(deep).canonical == "has(a)"
    with pytest.raises(SelectorError, match="deeper"):
        parse(f"({deep})")


def test_absent_selects_nothing_and_empty_everything() -> None:
    assert from_label_selector(None) is NOTHING
    assert from_label_selector(LabelSelector()) is EVERYTHING
    assert not NOTHING.matches({"a": "b"})


def test_match_expressions() -> None:
    selector = from_label_selector(
        LabelSelector(
            match_labels={"app": "web"},
            match_expressions=(
                LabelSelectorRequirement(key="env", operator="In", values=("a", "b")),
                LabelSelectorRequirement(key="old", operator="DoesNotExist"),
                LabelSelectorRequirement(key="zone", operator="Exists"),
                LabelSelectorRequirement(key="tier", operator="NotIn", values=("x",)),
            ),
        )
    )
    assert (
        selector.canonical
        == '(app == "web" && env in {"a", "b"} && !has(old) && has(zone) && tier not in {"x"})'
    )
    assert selector.matches({"app": "web", "env": "b", "zone": ""})
    assert not selector.matches({"app": "web", "env": "b", "zone": "", "old": ""})


def test_what_validation_refuses_never_becomes_a_selector() -> None:
    with pytest.raises(ValueError, match="operator"):
        from_label_selector(
            LabelSelector(match_expressions=(LabelSelectorRequirement(key="a", operator="Is"),))
        )
    with pytest.raises(ValueError, match="key"):
        from_label_selector(LabelSelector(match_labels={"a == 'b' || c": "d"}))


def test_conjunction() -> None:
    both = conjunction(parse("has(a)"), EVERYTHING, parse("has(b)"), parse("has(a)"))
    assert both.canonical == "(has(a) && has(b))"
    assert conjunction(EVERYTHING) is EVERYTHING
