"""What somebody has written into a status, or a node has said, ends no planner."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.controller.reconcile.conftest import Kit

from tsujiban.controller.reconcile import cronjobs, daemonsets, jobs, statefulsets
from tsujiban.controller.reconcile.revisions import HASH
from tsujiban.controller.world import (
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    DAEMON_SETS,
    JOBS,
    PODS,
    STATEFUL_SETS,
    Json,
    Ref,
    owner_reference,
)

NOW = 1_700_000_000.0
PLANNERS: dict[str, Any] = {
    "DaemonSet": (DAEMON_SETS, daemonsets.plan),
    "StatefulSet": (STATEFUL_SETS, statefulsets.plan),
    "Job": (JOBS, jobs.plan),
    "CronJob": (CRON_JOBS, cronjobs.plan),
}
SPEC: Json = {
    "selector": {"matchLabels": {"a": "b"}},
    "template": {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "host"}]},
    },
    "completions": 3,
    "parallelism": 2,
    "completionMode": "Indexed",
    "backoffLimitPerIndex": 1,
    "schedule": "* * * * *",
    "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "host"}]}}}},
}

scalar = st.one_of(st.none(), st.booleans(), st.integers(-3, 10**20), st.text(max_size=6), st.floats(0, 9))
junk = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner)
)
conditions = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Complete", "Failed", "Suspended", "Ready"]),
            "status": st.sampled_from(["True", "x"]),
        },
        optional={"reason": junk, "lastTransitionTime": junk},
    ),
    max_size=2,
)
FIELDS = (
    *("succeeded", "failed", "startTime", "completedIndexes", "uncountedTerminatedPods", "active"),
    "failedIndexes",
    *("lastScheduleTime", "lastSuccessfulTime", "currentRevision", "containerStatuses", "phase"),
)
status = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(FIELDS, junk),
        "uncountedTerminatedPods": junk | st.fixed_dictionaries({"failed": junk, "succeeded": junk}),
        "conditions": conditions,
    },
)


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(sorted(PLANNERS)), own=status, pods=status, data=junk, revision=junk)
def test_odd_statuses_end_no_planner(kind: str, own: Json, pods: Json, data: Any, revision: Any) -> None:
    (group, plural), plan = PLANNERS[kind]
    kit = Kit()
    kit.node("n1")
    ref = Ref(group, plural, "default", "x")
    head = {"name": "x", "namespace": "default", "creationTimestamp": "odd"}
    obj = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": head, "spec": SPEC, "status": own}
    kit.put(ref, obj)
    reference = owner_reference(obj)
    owned = {"metadata": {"name": "x-0", "labels": {HASH: "x-1"}, "ownerReferences": [reference]}}
    pod_head = {**owned["metadata"], "finalizers": ["batch.kubernetes.io/job-tracking"]}
    kit.put(Ref(*PODS, "default", "x-0"), {"metadata": pod_head, "spec": {"containers": []}, "status": pods})
    name = str(own.get("currentRevision"))
    made = {"metadata": {**owned["metadata"], "name": name}, "data": data, "revision": revision}
    kit.put(Ref(*CONTROLLER_REVISIONS, "default", name), made)
    kit.put(
        Ref(*JOBS, "default", "x-1"),
        {**owned, "spec": {}, "status": pods, "metadata": {**owned["metadata"], "name": "x-1"}},
    )
    plan(kit.world, ref, NOW)
