from __future__ import annotations

import random

import pytest

from tsujiban.policy.symbolic.cover import Named, describe

PATTERNS = [Named("a", 0b00001111), Named("b", 0b00000011), Named("c", 0b11000000), Named("d", 0b00111100)]
ALL = 0b11111111
MASKS = {p.text: p.mask for p in PATTERNS}


def meaning(target: int) -> int:
    found = 0
    for term in describe(target, PATTERNS, ALL):
        mask = ALL
        for text in term.texts:
            mask &= MASKS[text]
        for text in term.excepts:
            mask &= ~MASKS[text]
        found |= mask
    return found


CLASSES = [0b00000011, 0b00001100, 0b00110000, 0b11000000]  # what the patterns can tell apart


@pytest.mark.parametrize("chosen", range(16))
def test_the_words_mean_the_set(chosen: int) -> None:
    target = sum(mask for at, mask in enumerate(CLASSES) if chosen >> at & 1)
    assert meaning(target) == target


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (ALL, ["*"]),
        (0, []),
        (0b00001111, ["a"]),
        (0b11001111, ["a", "c"]),
        (0b11111100, ["d", "c"]),
        (0b00111111, ["a", "d"]),
        (0b11110000, ["c", "d except a"]),
    ],
)
def test_few_words(target: int, words: list[str]) -> None:
    assert sorted(map(str, describe(target, PATTERNS, ALL))) == sorted(words)


@pytest.mark.parametrize("seed", range(30))
def test_random_patterns(seed: int) -> None:
    source = random.Random(seed)
    patterns = [Named(f"p{n}", source.randrange(1, 1 << 10)) for n in range(5)]
    universe = (1 << 10) - 1
    classes: dict[tuple[bool, ...], int] = {}
    for at in range(10):
        key = tuple(bool(p.mask >> at & 1) for p in patterns)
        classes[key] = classes.get(key, 0) | 1 << at
    target = sum(mask for mask in classes.values() if source.random() < 0.5)
    found = 0
    masks = {p.text: p.mask for p in patterns}
    for term in describe(target, patterns, universe):
        mask = universe
        for text in term.texts:
            mask &= masks[text]
        for text in term.excepts:
            mask &= ~masks[text]
        assert not mask & ~target, str(term)
        found |= mask
    assert found == target
