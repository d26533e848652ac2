from __future__ import annotations

from itertools import product

import pytest

from tsujiban.policy.authorize import request_path, string_matches
from tsujiban.policy.program import PathMatch, StringMatch
from tsujiban.policy.symbolic import words
from tsujiban.policy.symbolic.words import TooManyDistinctions, Words
from tsujiban.resources import httppath

MATCHES = [
    StringMatch(exact="/a"),
    StringMatch(prefix="/a"),
    StringMatch(suffix="b"),
    StringMatch(present=True),
    StringMatch(template="/a/{*}"),
    StringMatch(template="/{*}/b/{**}"),
    StringMatch(template="/a/{**}/b"),
    StringMatch(exact="/a/.."),
]


def combinations(matches: list[StringMatch], texts: list[str]) -> set[int]:
    return {sum(1 << i for i, m in enumerate(matches) if string_matches(m, t)) for t in texts}


def test_every_combination_of_short_strings_is_found() -> None:
    texts = ["".join(t) for n in range(7) for t in product("/abz", repeat=n)]
    paths = [text for text in texts if request_path(text) == text]
    found = Words([words.of_match(m) for m in MATCHES], words.request_path).witnesses()
    assert combinations(MATCHES, paths) <= set(found)


def test_every_witness_is_a_path_that_does_what_it_stands_for() -> None:
    known = Words([words.of_match(m) for m in MATCHES], words.request_path)
    for combination, text in known.witnesses().items():
        assert request_path(text) == text
        assert combinations(MATCHES, [text]) == {combination}
        assert known.combination(text) == combination


def test_what_no_path_can_be_has_no_witness() -> None:
    pattern = words.of_match(StringMatch(exact="/a/.."))
    assert set(Words([pattern], words.request_path).witnesses()) == {0}
    twice = words.of_match(StringMatch(exact="/a%2fb"))
    assert set(Words([twice], words.request_path).witnesses()) == {0}


@pytest.mark.parametrize("path", [PathMatch(exact="/a/b"), PathMatch(prefix="/a"), PathMatch(prefix="/")])
def test_paths_of_network_policies(path: PathMatch) -> None:
    patterns = words.of_path(path)
    for _, text in Words(patterns, words.request_path).witnesses().items():
        hit = bool(Words(patterns, words.request_path).combination(text))
        assert hit == httppath.matches(httppath.hardened(text), exact=path.exact, prefix=path.prefix)


def test_case_is_folded_for_hosts() -> None:
    known = Words([words.of_match(StringMatch(suffix=".X"), fold=True)])
    assert known.combination("web.x") == 1


def test_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MAX_STATES", 20)
    with pytest.raises(TooManyDistinctions, match="too many patterns"):
        Words([words.of_match(StringMatch(exact="/" + "a" * 30))], words.request_path).witnesses()


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (StringMatch(present=True), "*"),
        (StringMatch(prefix="/a"), "/a*"),
        (StringMatch(suffix=".x"), "*.x"),
        (StringMatch(template="/{*}"), "/{*}"),
        (StringMatch(exact="GET"), "GET"),
    ],
)
def test_words(match: StringMatch, text: str) -> None:
    assert words.words_of(match) == text
