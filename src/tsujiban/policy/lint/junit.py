"""JUnit XML, as CI systems read it: suites of cases, each passed, failed or skipped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

import msgspec


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One case. `failure` and `skipped` are messages; "" is: it did not."""

    name: str
    group: str  # the class name that viewers group by
    failure: str = ""
    kind: str = "failure"  # the failure's type
    detail: str = ""
    skipped: str = ""
    file: str = ""
    line: int = 0


def render(name: str, suites: Iterable[tuple[str, Sequence[Case]]]) -> str:
    """The XML document."""
    root = ElementTree.Element("testsuites", name=name)
    for title, cases in suites:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=printable(title),
            tests=str(len(cases)),
            failures=str(sum(bool(case.failure) for case in cases)),
            errors="0",
            skipped=str(sum(bool(case.skipped) for case in cases)),
        )
        for case in cases:
            _case(suite, case)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _case(suite: ElementTree.Element, case: Case) -> None:
    node = ElementTree.SubElement(
        suite, "testcase", name=printable(case.name), classname=printable(case.group)
    )
    if case.file:
        node.set("file", printable(case.file))
    if case.line:
        node.set("line", str(case.line))
    if case.failure:
        failed = ElementTree.SubElement(node, "failure", message=printable(case.failure), type=case.kind)
        failed.text = printable(case.detail)
    elif case.skipped:
        ElementTree.SubElement(node, "skipped", message=printable(case.skipped))


def printable(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold (section 2.2)."""
    return "".join(
        c
        for c in text
        if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000"
    )
