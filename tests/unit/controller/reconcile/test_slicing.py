"""Endpoints stay in their slices, no slice is long, and few are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsujiban.controller.reconcile import slicing
from tsujiban.controller.reconcile.slicing import distributed

Json = dict[str, Any]


def endpoint(name: str, **said: Any) -> Json:
    return {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": name, "uid": name}, **said}


def endpoints(names: str) -> list[Json]:
    return [endpoint(name) for name in names]


def names(spread: Sequence[Sequence[Json]]) -> list[str]:
    return ["".join(one["targetRef"]["name"] for one in held) for held in spread]


def spread(held: Sequence[str], wanted: str) -> list[str]:
    return names(distributed([endpoints(one) for one in held], endpoints(wanted)))


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicing, "MOST", 3)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("held", "wanted", "now"),
    [
        ([], "abcdefg", ["abc", "def", "g"]),
        (["abc", "def", "g"], "abcdefg", ["abc", "def", "g"]),
        (["abc", "def", "g"], "acdefgh", ["ach", "def", "g"]),  # one that is written anyhow has room
        (["abc", "de", "g"], "abcdefg", ["abc", "def", "g"]),  # the fullest that has room
        (
            ["abc", "de"],
            "abcdefg",
            ["abc", "de", "fg"],
        ),  # no single one has: better one new than several changed
        (["ab"], "abcdef", ["abf", "cde"]),
        (["abc", "def"], "abc", ["abc", ""]),
        (["ab", "cd"], "ac", ["a", "c"]),  # two are not made one
        (["abcde"], "abcde", ["abc", "de"]),  # of before there was a bound
        (["aab"], "ab", ["ab"]),
    ],
)
def test_where_endpoints_are(held: list[str], wanted: str, now: list[str]) -> None:
    assert spread(held, wanted) == now


def test_what_is_said_of_one_is_said_where_it_is() -> None:
    before = [endpoints("ab"), endpoints("c")]
    changed = endpoint("b", conditions={"ready": False})
    assert distributed(before, [endpoint("a"), changed, endpoint("c")]) == [
        [endpoint("a"), changed],
        [endpoint("c")],
    ]


def test_what_names_nobody_is_not_kept() -> None:
    assert distributed([[{"addresses": ["10.0.0.1"]}, {"targetRef": 7}]], endpoints("a")) == [
        [],
        endpoints("a"),
    ]


def test_a_hundred_are_in_a_slice() -> None:
    assert [len(one) for one in distributed([], [endpoint(str(n)) for n in range(250)])] == [100, 100, 50]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sets(st.integers(0, 30)), min_size=1, max_size=8))
def test_however_pods_come_and_go(worlds: list[set[int]]) -> None:
    held: list[list[Json]] = []
    for present in worlds:
        wanted = [endpoint(str(number)) for number in sorted(present)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(slicing, "MOST", 4)
            now = distributed(held, wanted)
            assert distributed(now, wanted) == now
        placed = [one["targetRef"]["name"] for part in now for one in part]
        assert sorted(placed) == sorted(str(number) for number in present)
        assert all(len(part) <= 4 for part in now)
        stayed = [part for part in held if {one["targetRef"]["name"] for one in part} <= set(placed)]
        touched = sum(part not in now for part in stayed)
        assert touched <= 1  # of those from which nobody has gone, one is filled at most
        held = [part for part in now if part]
