"""CronJob to Jobs: one for each time of its schedule that has come, and the old ones taken away. Pure.

A Job's name follows from its time, and the time is written down when the Job is there: so no time is missed
or met twice, whoever leads and whenever it dies. Of several that were missed only the last is made up for.
Source: Kubernetes documentation, "CronJob"; API reference, CronJob.
"""

from __future__ import annotations

import math
import uuid
from datetime import datetime
from typing import NamedTuple

from tsujiban.controller.api import defaulting, generated
from tsujiban.controller.reconcile.actions import Action, Create, Delete, Planned, Update
from tsujiban.controller.reconcile.jobs import finished_at
from tsujiban.controller.world import (
    JOBS,
    Json,
    Ref,
    World,
    is_terminating,
    owner_reference,
    stamp,
    unstamped,
)
from tsujiban.controller.zones import zone
from tsujiban.resources import cron
from tsujiban.resources.registry import by_plural

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_KEPT = {"successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1}

_JOB = by_plural("batch", "v1", "jobs")


class _Due(NamedTuple):
    last: float | None  # the time that has come and has no Job yet
    next: float | None


def plan(world: World, ref: Ref, now: float) -> Planned:
    """What to write for one CronJob."""
    obj = world.get(ref)
    if obj is None or is_terminating(obj):
        return Planned([])
    jobs = world.owned_by(obj["metadata"]["uid"], JOBS)
    active = [(job_ref, job) for job_ref, job in jobs if finished_at(job) is None and _is_scheduled(job)]
    actions: list[Action] = [Delete(job_ref) for job_ref in _outlived(obj, jobs)]
    again, scheduled = math.inf, None
    due = None if obj["spec"].get("suspend") else _due(obj, now)
    if due is not None:
        again = math.inf if due.next is None else due.next
        if due.last is not None:
            name = f"{ref.name}-{int(due.last // 60)}"
            if any(job_ref.name == name for job_ref, _ in jobs):
                scheduled = due.last  # its Job is there: now it may be written down
            else:
                actions += _begun(obj, name, due.last, active)
    status = _status(obj, jobs, active, scheduled)
    if status != (obj.get("status") or {}):
        actions.append(Update(ref, {**obj, "status": status}))
    return Planned(actions, again)


def _due(obj: Json, now: float) -> _Due | None:
    """The times that concern it now; None when its schedule cannot be read."""
    spec = obj["spec"]
    where = zone(spec.get("timeZone"))
    try:
        schedule = cron.parse(str(spec.get("schedule", "")))
    except cron.ScheduleError:
        return None
    if where is None:
        return None
    head, status = obj["metadata"], obj.get("status") or {}
    since = unstamped(status.get("lastScheduleTime")) or unstamped(head.get("creationTimestamp")) or now
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and not schedule.every:
        since = max(since, now - deadline)
    last = schedule.latest(now, where, since)
    following = schedule.after(now if not schedule.every else last or since, where)
    return _Due(last, following)


def _begun(obj: Json, name: str, at: float, active: list[tuple[Ref, Json]]) -> list[Action]:
    """The Job of a time, if those that still run let it begin."""
    policy = obj["spec"].get("concurrencyPolicy")
    if active and policy == "Forbid":
        return []  # when they have ended, this is asked again
    replaced: list[Action] = [Delete(ref) for ref, _ in active] if policy == "Replace" else []
    return [*replaced, _job(obj, name, at)]


def _job(obj: Json, name: str, at: float) -> Create:
    template, namespace = obj["spec"]["jobTemplate"], obj["metadata"].get("namespace", "")
    head = template.get("metadata") or {}
    when = datetime.fromtimestamp(at, zone(obj["spec"].get("timeZone"))).isoformat().replace("+00:00", "Z")
    metadata = {
        **({"labels": head["labels"]} if head.get("labels") else {}),
        "annotations": {**(head.get("annotations") or {}), SCHEDULED_AT: when},
        "name": name,
        "namespace": namespace,
        "ownerReferences": [owner_reference(obj)],
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}
    uid = str(uuid.uuid4())
    return Create(Ref(*JOBS, namespace, name), generated.job(defaulting.filled(job, _JOB), uid), uid)


def _is_scheduled(job: Json) -> bool:
    """Whether it was made for a time of the schedule, and not by a person."""
    return SCHEDULED_AT in (job["metadata"].get("annotations") or {})


def _outlived(obj: Json, jobs: list[tuple[Ref, Json]]) -> list[Ref]:
    """Finished Jobs beyond those that are to be kept, the oldest first."""
    found: list[Ref] = []
    for field, outcome in (("successfulJobsHistoryLimit", True), ("failedJobsHistoryLimit", False)):
        limit = obj["spec"].get(field)
        ended = sorted(
            (str((job.get("status") or {}).get("startTime", "")), ref)
            for ref, job in jobs
            if finished_at(job) is not None and _succeeded(job) is outcome
        )
        found += [ref for _, ref in ended[: max(0, len(ended) - (_KEPT[field] if limit is None else limit))]]
    return found


def _succeeded(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Complete" and one["status"] == "True" for one in conditions)


def _status(
    obj: Json, jobs: list[tuple[Ref, Json]], active: list[tuple[Ref, Json]], scheduled: float | None
) -> Json:
    before = obj.get("status") or {}
    times = [(job.get("status") or {}).get("completionTime") for _, job in jobs if _succeeded(job)]
    known = [str(at) for at in (*times, before.get("lastSuccessfulTime")) if at]
    status = {
        "active": [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": ref.name,
                "namespace": ref.namespace,
                "uid": job["metadata"]["uid"],
            }
            for ref, job in active
        ],
        "lastScheduleTime": before.get("lastScheduleTime") if scheduled is None else stamp(scheduled),
        "lastSuccessfulTime": max(known, default=None),
    }
    return {name: value for name, value in status.items() if value}
