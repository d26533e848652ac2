"""An index of a Job fails, pauses and is tried again by itself."""

from __future__ import annotations

import pytest

from tsujiban.controller.reconcile import jobindexes, jobretries
from tsujiban.controller.reconcile.jobretries import FAILURES, FIRST, IGNORED, Failure, Retry
from tsujiban.controller.world import Json, stamp

NOW = 1_700_000_000.0


def pod(index: int, failures: object = 0, ignored: object = 0, **metadata: str) -> Json:
    own = {jobindexes.INDEX: str(index), FAILURES: str(failures), IGNORED: str(ignored)}
    statuses = [{"name": "main", "state": {"terminated": {"exitCode": 1, "finishedAt": stamp(NOW)}}}]
    return {
        "metadata": {"name": "p", "annotations": own, **metadata},
        "status": {"phase": "Failed", "containerStatuses": statuses},
    }


def test_only_indexes_with_a_limit_count_by_themselves() -> None:
    spec = {"backoffLimitPerIndex": 0, "completionMode": "Indexed"}
    assert jobretries.limit({"spec": spec}) == 0
    assert jobretries.limit({"spec": {"completionMode": "Indexed"}}) is None
    assert jobretries.limit({"spec": {**spec, "completionMode": "NonIndexed"}}) is None


@pytest.mark.parametrize(
    ("action", "failures", "last"),
    [("Count", 1, False), ("Count", 2, True), ("Ignore", 9, False), ("FailIndex", 0, True)],
)
def test_an_index_is_given_up_at_its_limit(action: str, failures: int, last: bool) -> None:
    assert Failure(pod(0, failures), action).is_last(2) is last


def test_each_failure_doubles_the_pause_of_its_index() -> None:
    assert Failure(pod(0), "Count").retry() == Retry(1, 0, NOW + 10)
    assert Failure(pod(0, 1), "Count").retry() == Retry(2, 0, NOW + 20)
    assert Failure(pod(0, 1, 1), "Ignore").retry() == Retry(1, 2, NOW + 40)
    assert Failure(pod(0, deletionTimestamp=stamp(NOW)), "Count").retry() == Retry(1, 0, 0.0)


def test_a_pod_says_what_was_before_it() -> None:
    assert FIRST.annotations() == {FAILURES: "0"}
    assert Retry(2, 3, NOW).annotations() == {FAILURES: "2", IGNORED: "3"}
    assert jobretries.before(pod(0, 2, 3)) == (2, 3)
    assert jobretries.before(pod(0, "-1", "9" * 5000)) == (0, 0)  # somebody else's word
    assert jobretries.before({"metadata": {}}) == (0, 0)


def test_the_newest_of_an_index_has_most_before_it() -> None:
    assert jobretries.newest([pod(0, 1), pod(0, 0), pod(1, 1, 3)]) == {0: 1, 1: 4}
