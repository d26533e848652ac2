from __future__ import annotations

from tsujiban.local.waiting import until


def test_true_at_once_does_not_wait() -> None:
    assert until(lambda: True, 0.0)


def test_asked_again_until_it_is_so() -> None:
    answers = [False, False, True]
    assert until(lambda: answers.pop(0), 5.0)
    assert answers == []


def test_never_so() -> None:
    assert not until(lambda: False, 0.05)
