"""Paths, and what stands where."""

from __future__ import annotations

import pytest

from tsujiban.resources.positions import Position, parse, render, value_at

ROOT = Position(1, 1, {"spec": Position(2, 1, {"ingress": Position(3, 3, [Position(4, 5), Position(9, 5)])})})


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("spec", "ingress", 1, "from"), "spec.ingress[1].from"),
        (("metadata", "labels", "app.kubernetes.io/name"), 'metadata.labels["app.kubernetes.io/name"]'),
        (("a", 'say "\\"'), 'a["say \\"\\\\\\""]'),
    ],
)
def test_a_path_and_its_text(path: tuple[str | int, ...], text: str) -> None:
    assert render(path) == text
    assert parse(text) == path


def test_parsing_ends_at_what_is_no_path() -> None:
    assert parse("spec.ingress[x") == ("spec", "ingress")


def test_find_goes_as_far_as_the_text_does() -> None:
    assert ROOT.find(("spec", "ingress", 1)).line == 9
    assert ROOT.find(("spec", "ingress", 1, "ports", 0)).line == 9
    assert ROOT.find(("spec", "ingress", 7)).line == 3
    assert ROOT.find(("nothing",)).line == 1


def test_value_at() -> None:
    data = {"a": [{"b": 1}]}
    assert value_at(data, ("a", 0, "b")) == 1
    assert value_at(data, ("a", 1, "b")) is None
    assert value_at(data, ("a", "b")) is None
