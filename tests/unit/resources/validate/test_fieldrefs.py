"""Where the same reference is judged by where it stands. More of its words are in test_env.py."""

from __future__ import annotations

import pytest

from tsujiban.resources.kinds.env import ObjectFieldSelector, ResourceFieldSelector
from tsujiban.resources.validate import fieldrefs
from tsujiban.resources.validate.report import Report


def told(report: Report) -> list[tuple[str, str]]:
    return [(str(problem.path[-1]), problem.message) for problem in report.problems]


@pytest.mark.parametrize(
    ("path", "allowed", "fine"),
    [
        ("metadata.labels", ("metadata.labels",), True),
        ("metadata.labels", ("metadata.name",), False),
        ("metadata.labels['a.b/c']", (), True),
        ("metadata.labels['A_']", (), False),
        ("metadata.annotations['A.b/C']", (), True),
        ("status.podIP", ("status.podIP",), True),
        ("status.phase", ("status.podIP",), False),
    ],
)
def test_fields_are_those_that_may_stand_here(path: str, allowed: tuple[str, ...], fine: bool) -> None:
    report = Report()
    fieldrefs.check_field(ObjectFieldSelector(field_path=path), allowed, (), report)
    assert (report.problems == []) is fine


def test_a_file_names_its_container_and_a_variable_need_not() -> None:
    reference = ResourceFieldSelector(resource="limits.memory", divisor="1Mi")
    for in_container, said in ((True, []), (False, [("containerName", "Required value")])):
        report = Report()
        fieldrefs.check_resource(reference, (), report, in_container=in_container)
        assert told(report) == said


def test_divisors_of_huge_pages_are_those_of_memory() -> None:
    report = Report()
    reference = ResourceFieldSelector(resource="limits.hugepages-2Mi", divisor="1m")
    fieldrefs.check_resource(reference, (), report, in_container=True)
    ((field, message),) = told(report)
    assert field == "divisor"
    assert message.endswith("are supported with the hugepages resource")


def test_what_was_given_is_quoted_and_cut() -> None:
    assert fieldrefs.invalid('a"b', "no") == 'Invalid value: "a\\"b": no'
    assert len(fieldrefs.quoted("x" * 1000)) == 255
    assert fieldrefs.not_supported("x", ("a", "b")) == 'Unsupported value: "x": supported values: "a", "b"'
