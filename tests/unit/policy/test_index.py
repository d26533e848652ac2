from __future__ import annotations

from random import Random

import pytest

from tsujiban.policy.index import LabelIndex
from tsujiban.resources.selectors import parse

TEXTS = (
    "all()",
    "a == '1'",
    "a != '1'",
    "has(b)",
    "!has(b)",
    "a in {'1', '2'}",
    "a == '1' || a == '1'",
    "a == '1' || b == '2'",
    "(a == '1' && has(b)) || b starts with '2'",
    "a == '1' && b not in {'2'}",
    "a contains '1' || !has(a)",
)


def test_it_answers_as_matching_one_by_one_does() -> None:
    random = Random(5)
    index: LabelIndex[str] = LabelIndex()
    labels: dict[int, dict[str, str]] = {}
    active: set[str] = set()
    for _ in range(2000):
        text, item = random.choice(TEXTS), random.randrange(12)
        match random.randrange(4):
            case 0 if text not in active:
                index.add_selector(text, parse(text).node)
                active.add(text)
            case 1 if text in active:
                before = {i for i, own in labels.items() if parse(text).matches(own)}
                assert set(index.remove_selector(text)) == before
                active.discard(text)
            case 2 if item in labels:
                old = labels.pop(item)
                assert set(index.remove_item(item)) == {t for t in active if parse(t).matches(old)}
            case 3:
                known = labels.get(item)
                new = {k: random.choice("12") for k in "ab" if random.random() < 0.6}
                gained, lost = index.set_item(item, new)
                was = {t for t in active if known is not None and parse(t).matches(known)}
                now = {t for t in active if parse(t).matches(new)}
                assert (set(gained), set(lost)) == (now - was, was - now)
                labels[item] = new
                assert set(index.selectors_of(item)) == now
        for name in active:
            assert set(index.matched(name)) == {i for i, own in labels.items() if parse(name).matches(own)}


@pytest.mark.parametrize("text", TEXTS)
def test_nothing_is_left_behind(text: str) -> None:
    index: LabelIndex[str] = LabelIndex()
    index.add_selector("s", parse(text).node)
    index.set_item(1, {"a": "1"})
    index.remove_selector("s")
    index.remove_item(1)
    assert not any(vars(index).values())
