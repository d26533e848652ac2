from __future__ import annotations

from xml.etree import ElementTree

from tsujiban.policy.lint.junit import Case, render


def test_cases_are_counted_and_say_what_became_of_them() -> None:
    text = render(
        "all",
        [
            (
                "suite",
                [
                    Case(name="good", group="g"),
                    Case(name="bad", group="g", failure="no", detail="a < b", file="a.yaml", line=3),
                    Case(name="left out", group="g", skipped="because"),
                ],
            )
        ],
    )
    root = ElementTree.fromstring(text)  # noqa: S314 - it is our own text
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    good, bad, left_out = suite
    assert list(good) == []
    assert (bad.get("file"), bad.get("line"), bad[0].get("message"), bad[0].text) == (
        "a.yaml",
        "3",
        "no",
        "a < b",
    )
    assert left_out[0].get("message") == "because"


def test_characters_that_xml_cannot_hold_are_left_out() -> None:
    text = render("all", [("s\x00", [Case(name="\x1b[31m\ud800\ufffe", group="g")])])
    assert ElementTree.fromstring(text)[0][0].get("name") == "[31m"  # noqa: S314 - our own text
