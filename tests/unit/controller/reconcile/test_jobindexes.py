"""Indexes as a Job's status writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsujiban.controller.reconcile import jobindexes


@pytest.mark.parametrize(
    ("indexes", "text"),
    [([], ""), ([0], "0"), ([1, 2], "1,2"), ([0, 1, 2, 4, 6, 7, 8, 9], "0-2,4,6-9")],
)
def test_runs_are_short(indexes: list[int], text: str) -> None:
    assert jobindexes.written(indexes) == text


@given(st.sets(st.integers(0, 200)))
def test_what_is_written_is_read(indexes: set[int]) -> None:
    assert jobindexes.read(jobindexes.written(indexes), 201) == indexes


@pytest.mark.parametrize("text", ["x", "1-x", "-", "-3", "3-1", None, 7.5])
def test_what_is_none_is_passed_over(text: object) -> None:
    assert jobindexes.read(text, 10) <= {3, 7}


def test_nothing_beyond_the_completions_counts() -> None:
    assert jobindexes.read("1-99999999999", 4) == {1, 2, 3}


def test_a_pod_says_its_index() -> None:
    assert jobindexes.of_pod({"metadata": {"annotations": {jobindexes.INDEX: "3"}}}) == 3
    assert jobindexes.of_pod({"metadata": {"annotations": {jobindexes.INDEX: "x"}}}) == -1
    assert jobindexes.of_pod({"metadata": {}}) == -1
