"""Syntax of names, labels, annotations and label selectors."""

from __future__ import annotations

import pytest

from tsujiban.resources.kinds.meta import LabelSelector, LabelSelectorRequirement
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("a", True),
        ("a-1", True),
        ("-a", False),
        ("a-", False),
        ("A", False),
        ("a.b", False),
        ("a" * 63, True),
        ("a" * 64, False),
        ("a\n", False),
        ("", False),
    ],
)
def test_label(text: str, good: bool) -> None:
    assert names.is_label(text) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [("a.b-c.d", True), ("a..b", False), (".a", False), ("a." + "b" * 252, False), ("a.b.", False)],
)
def test_subdomain(text: str, good: bool) -> None:
    assert names.is_subdomain(text) is good


def test_label_1035_starts_with_a_letter() -> None:
    assert names.is_label_1035("a1")
    assert not names.is_label_1035("1a")


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("http", True),
        ("web-8080", True),
        ("8080", False),
        ("a--b", False),
        ("-a", False),
        ("a-", False),
        ("a" * 16, False),
        ("Http", False),
        ("", False),
    ],
)
def test_port_name(text: str, good: bool) -> None:
    assert names.is_port_name(text) is good


@pytest.mark.parametrize("key", ["a", "A_b.c-1", "example.org/name", "a" * 63])
def test_good_keys(key: str) -> None:
    assert names.key_problem(key) == ""


@pytest.mark.parametrize("key", ["", "/a", "a/", "a/b/c", "Example.org/a", "a b", "-a", "a" * 64])
def test_bad_keys(key: str) -> None:
    assert names.key_problem(key)


def test_values() -> None:
    assert names.value_problem("") == ""
    assert names.value_problem("a.B_c-1") == ""
    assert names.value_problem("a" * 64)
    assert names.value_problem("a b")


def test_selector() -> None:
    report = Report()
    expressions = (
        LabelSelectorRequirement(operator="In", values=("a",)),
        LabelSelectorRequirement(key="k", operator="in", values=("a",)),
        LabelSelectorRequirement(key="k", operator="NotIn"),
        LabelSelectorRequirement(key="k", operator="Exists", values=("$",)),
    )
    names.check_selector(
        LabelSelector(match_labels={"k": "$"}, match_expressions=expressions), ("s",), report
    )
    assert [(problem.path[1:], problem.code) for problem in report.problems] == [
        (("matchLabels", "k"), "bad-label"),
        (("matchExpressions", 0, "key"), "missing-field"),
        (("matchExpressions", 1, "operator"), "bad-value"),
        (("matchExpressions", 2, "values"), "missing-field"),
        (("matchExpressions", 3, "values"), "conflict"),
        (("matchExpressions", 3, "values", 0), "bad-label"),
    ]
    assert report.problems[2].hint == "did you mean In?"


def test_annotations_are_bounded() -> None:
    report = Report()
    names.check_annotations({"a": "x" * 300_000, "...": "y", "Upper.example/a": "z"}, ("a",), report)
    assert {problem.code for problem in report.problems} == {"too-large", "bad-annotation"}
    assert len(report.problems) == 2
