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


def test_what_is_written_short_may_be_long() -> None:
    """Each index of a policy was made a number of, and each index of a pod read: `0-2147483647` took all the
    memory there was, and five thousand digits ended the controller at once."""
    assert jobindexes.count("0-2147483647,5", 2**31) == 2**31 + 1
    assert jobindexes.count("2-9,7-x", 4) == 2
    assert jobindexes.read("9" * 5000, 10) == set()
    assert jobindexes.of_pod({"metadata": {"annotations": {jobindexes.INDEX: "9" * 5000}}}) == -1
