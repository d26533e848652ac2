"""A pod that runs is given time to end; anything else goes at once."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.reconcile.actions import Delete, Update
from tsujiban.controller.reconcile.ending import ended
from tsujiban.controller.world import PODS, REPLICA_SETS, Json, Ref

POD = Ref(*PODS, "default", "p")


def pod(grace: int | None = None, **status: Any) -> Json:
    spec = {"nodeName": "n1"} | ({} if grace is None else {"terminationGracePeriodSeconds": grace})
    return {"metadata": {"name": "p"}, "spec": spec, "status": {"podIP": "10.0.0.1", **status}}


@pytest.mark.parametrize(
    ("own", "grace", "at"),
    [
        (None, 30, "1970-01-01T00:00:30Z"),
        (5, 5, "1970-01-01T00:00:05Z"),
        (10**30, 2**31 - 1, "2038-01-19T03:14:07Z"),
    ],
)
def test_a_pod_that_runs_is_marked(own: int | None, grace: int, at: str) -> None:
    (action,) = ended(POD, pod(own), 0.0)
    assert isinstance(action, Update)
    head = action.obj["metadata"]
    assert (head["deletionTimestamp"], head["deletionGracePeriodSeconds"]) == (at, grace)
    assert ended(POD, action.obj, 1.0) == []


@pytest.mark.parametrize(
    "obj",
    [
        pod(0),
        pod(phase="Failed"),
        pod(podIP=""),
        {"metadata": {}, "spec": {}},
    ],
)
def test_a_pod_that_does_not_run_goes_at_once(obj: Json) -> None:
    assert ended(POD, obj) == [Delete(POD)]


def test_other_objects_go_at_once() -> None:
    ref = Ref(*REPLICA_SETS, "default", "rs")
    assert ended(ref, {"metadata": {}}) == [Delete(ref)]
