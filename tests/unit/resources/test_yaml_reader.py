"""YAML documents, positions, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources import yaml_reader
from tsujiban.resources.positions import Position

Told = list[tuple[str, int, int]]


def read(text: str) -> tuple[list[Any], Told, list[Position]]:
    told: Told = []

    def problem(code: str, message: str, line: int, column: int, hint: str) -> None:
        told.append((code, line, column))

    found = list(yaml_reader.documents(text.encode(), problem))
    return [document.value for document in found], told, [document.position for document in found]


def test_documents_and_positions() -> None:
    values, told, (first, second) = read("a:\n  - b: 1\n  - c\n---\n# nothing\n---\nd: {e: [x, y]}\n")
    assert values == [{"a": [{"b": 1}, "c"]}, {"d": {"e": ["x", "y"]}}]
    assert told == []
    assert first.find(("a",)).line == 1
    assert (first.find(("a", 0, "b")).line, first.find(("a", 0, "b")).column) == (2, 5)
    assert first.find(("a", 1)).line == 3
    assert (second.find(("d", "e", 1)).line, second.find(("d", "e", 1)).column) == (7, 12)


def test_after_a_broken_document_comes_the_next() -> None:
    values, told, (position,) = read("a: [\n---\nb: 'x\n---\nc: 1\n")
    assert values == [{"c": 1}]
    assert [code for code, _, _ in told] == ["yaml-syntax", "yaml-syntax"]
    assert position.find(("c",)).line == 5


def test_quoted_scalars_are_strings() -> None:
    values, _, _ = read("a: '1'\nb: \"yes\"\nc: |\n  true\nd: !!str 7\ne: yes\n")
    assert values == [{"a": "1", "b": "yes", "c": "true\n", "d": "7", "e": True}]


def test_keys_are_strings() -> None:
    values, told, _ = read("8080: x\ntrue: z\n")
    assert values == [{"8080": "x", "true": "z"}]
    assert told == []


def test_aliases_and_merges() -> None:
    values, told, _ = read("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc:\n  <<: [*a, {z: 4}]\nd: *a\n")
    assert told == []
    assert values[0]["b"] == {"x": 1, "y": 3}
    assert values[0]["c"] == {"x": 1, "y": 2, "z": 4}
    assert values[0]["d"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", ("duplicate-key", 2, 1)),
        ("a: *b\n", ("yaml-alias", 1, 4)),
        ("b: 1\na: !foo x\n", ("yaml-tag", 2, 4)),
        ("? [a]\n: b\n", ("yaml-key", 1, 3)),
        ("a:\n  <<: x\n", ("yaml-merge", 2, 7)),
        ("no: x\n", ("yaml-boolean-key", 1, 1)),
        ("a: .inf\n", ("yaml-number", 1, 4)),
        ("a:\n\tb: c\n", ("yaml-syntax", 2, 1)),
        ("[" * 65 + "]" * 65, ("too-deep", 1, 65)),
    ],
)
def test_what_is_refused(text: str, expected: tuple[str, int, int]) -> None:
    _, told, _ = read(text)
    assert expected in told


def test_the_number_of_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_reader, "MAX_VALUES", 10)
    values, told, _ = read("- a\n" * 6 + "---\n" + "- b\n" * 6)
    assert len(values) == 1
    assert [code for code, _, _ in told] == ["too-large"]
