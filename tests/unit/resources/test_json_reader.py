"""JSON, strictly, and where its values stand."""

from __future__ import annotations

import pytest

from tsujiban.resources import json_reader
from tsujiban.resources.json_reader import NotJSON


def test_several_documents() -> None:
    assert json_reader.documents('{"a": 1}\n{"b": [2.5, null]}\n') == [{"a": 1}, {"b": [2.5, None]}]


def test_positions() -> None:
    first, second = json_reader.positions(b'{"a": [1,\n  {"b": "x,]"}]}\n{"c": {}}')
    assert (first.find(("a", 0)).line, first.find(("a", 0)).column) == (1, 8)
    assert (first.find(("a", 1, "b")).line, first.find(("a", 1, "b")).column) == (2, 4)
    assert second.find(("c",)).line == 3


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ('{"a": 1,\n "a": 2}', "duplicate-key", 2),
        ('{\n"a": NaN}', "json-number", 2),
        ('{"a": -Infinity}', "json-number", 1),
        ('{"a":\n 1e999}', "json-number", 1),
        ('{"a": "\\udc00"}', "json-surrogate", 1),
        ('{"a": [1, "\\ud800\\u0041"]}', "json-surrogate", 1),
        ('{"a": ' + "[" * 5000 + "]" * 5000 + "}", "too-deep", 1),
    ],
)
def test_what_is_refused(text: str, code: str, line: int) -> None:
    with pytest.raises(NotJSON) as caught:
        json_reader.documents(text)
    assert caught.value.code == code
    assert json_reader.locate(code, text.encode()).line == line


def test_what_is_not_json() -> None:
    with pytest.raises(NotJSON) as caught:
        json_reader.documents('{"a": }')
    assert caught.value.code == "json-syntax"


def test_surrogates_in_pairs_are_a_character() -> None:
    assert json_reader.documents('{"a": "\\ud83d\\ude00"}') == [{"a": "\N{GRINNING FACE}"}]
    assert json_reader.documents('{"a": "\\\\ud800"}') == [{"a": "\\ud800"}]


def test_integers_that_fit_stay_integers() -> None:
    (found,) = json_reader.documents('{"a": 18446744073709551615, "b": 99999999999999999999999}')
    assert found == {"a": 2**64 - 1, "b": 1e23}
