"""Ready for long enough is available."""

from __future__ import annotations

import math

from tsujiban.controller.reconcile.availability import available_at, next_one
from tsujiban.controller.world import Json, stamp


def pod(status: str, since: float | None = None, **metadata: str) -> Json:
    condition = {"type": "Ready", "status": status}
    if since is not None:
        condition["lastTransitionTime"] = stamp(since)
    return {"metadata": metadata, "status": {"conditions": [condition]}}


def test_a_pod_is_available_some_time_after_it_is_ready() -> None:
    assert available_at(pod("True", 100), 0) == 0
    assert available_at(pod("True", 100), 30) == 130
    assert available_at(pod("True"), 30) == 0  # nobody knows since when
    assert available_at(pod("False", 100), 0) == math.inf
    assert available_at(pod("True", 100, deletionTimestamp="x"), 0) == math.inf
    assert available_at({"metadata": {}}, 0) == math.inf


def test_the_next_moment_is_still_to_come() -> None:
    assert next_one([1, 5, 9], 5) == 9
    assert next_one([math.inf, 1], 5) == math.inf
    assert next_one([], 5) == math.inf
