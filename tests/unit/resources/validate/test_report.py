"""The checks that every kind shares."""

from __future__ import annotations

from tsujiban.resources.kinds.cnp import Port, PortRange
from tsujiban.resources.shape import MAX_PROBLEMS
from tsujiban.resources.validate.report import Report


def test_one_of_suggests() -> None:
    report = Report()
    assert report.one_of(("a",), "Deny", ("Allow", "Deny"))
    assert not report.one_of(("a",), "deny", ("Allow", "Deny"))
    assert not report.one_of(("a",), "Alow", ("Allow", "Deny"))
    assert not report.one_of(("a",), "zzz", ("Allow", "Deny"))
    assert not report.one_of(("a",), "", ("Allow", "Deny"))
    assert report.one_of(("a",), "", ("Allow", "Deny"), empty=True)
    assert [problem.hint for problem in report.problems] == [
        "did you mean Deny?",
        "did you mean Allow?",
        "one of Allow, Deny",
        "one of Allow, Deny",
    ]


def test_exactly_one() -> None:
    report = Report()
    assert report.exactly_one_of(("p",), Port(number=1))
    assert not report.exactly_one_of(("p",), Port())
    assert not report.exactly_one_of(("p",), Port(number=1, range=PortRange()))
    assert [problem.code for problem in report.problems] == ["missing-field", "conflict"]


def test_lists() -> None:
    report = Report()
    report.distinct(("l",), ["a", "b", "a"])
    report.at_most(("l",), [1, 2, 3], 2)
    assert [(problem.path, problem.code) for problem in report.problems] == [
        (("l", 2), "duplicate"),
        (("l",), "too-many"),
    ]


def test_host_bits_are_a_warning() -> None:
    report = Report()
    assert str(report.network(("n",), "10.0.0.1/8")) == "10.0.0.0/8"
    assert [problem.warning for problem in report.problems] == [True]
    assert report.network(("n",), "10.0.0.1", prefix=True) is None


def test_problems_are_bounded() -> None:
    report = Report()
    for index in range(MAX_PROBLEMS + 5):
        report.error((index,), "c", "m")
    assert len(report.problems) == MAX_PROBLEMS
