"""How many of a Job's pods have succeeded and failed, each counted once whatever becomes of it. Pure.

A pod that has ended is written into the Job's status first, as not yet counted (an index of an Indexed Job
at once as completed); then it loses the finalizer that has kept it; then it is counted. So nobody who deletes
a pod takes its success away, and a controller that dies between two writes counts nothing twice. A failed pod
whose index is to be tried again (`jobretries`) is counted when it has been.
Source: Kubernetes documentation, "Jobs", "Job tracking with finalizers"; API reference, JobStatus.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tsujiban.controller.api import documents
from tsujiban.controller.reconcile import jobfailures, jobindexes, jobretries
from tsujiban.controller.reconcile.actions import Action, Delete, Update
from tsujiban.controller.world import Json, Ref, is_finished, is_terminating, with_metadata

TRACKING = "batch.kubernetes.io/job-tracking"
"""The finalizer."""


class Tally(NamedTuple):
    """The numbers as they are to be written; `succeeded` and `failed` are without those not yet counted."""

    succeeded: int
    failed: int
    completed: set[int]  # indexes
    uncounted: dict[str, list[str]]  # uids of pods, by outcome
    released: list[Action]
    fatal: str  # why a failure ends the whole Job; "" when none does
    given_up: set[int]  # indexes that have failed as often as they may
    retries: dict[int, jobretries.Retry]  # by index, of those that have failed and may try again
    kept: int  # pods that have failed, and are not let go until their indexes are tried again
    kept_failed: int  # those of them that count

    @property
    def all_succeeded(self) -> int:
        """With those not yet counted."""
        return self.succeeded + len(self.uncounted.get("succeeded", ()))

    @property
    def all_failed(self) -> int:
        """With those not yet counted."""
        return self.failed + len(self.uncounted.get("failed", ())) + self.kept_failed


def is_indexed(job: Json) -> bool:
    """Whether each completion has an index of its own."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def tally(job: Json, pods: list[tuple[Ref, Json]], *, ending: bool = False) -> Tally:
    """Count what has ended. `ending`: what the Job's end is to be is known, so no index is tried again."""
    spec, status = job["spec"], job.get("status") or {}
    most = int(spec.get("completions") or 0)
    known = jobindexes.read(status.get("completedIndexes"), most) if is_indexed(job) else set()
    completed = set(known)
    held = {pod["metadata"]["uid"]: (ref, pod) for ref, pod in pods if is_tracked(pod)}
    before = {name: _uids(status.get("uncountedTerminatedPods"), name) for name in ("succeeded", "failed")}
    uncounted = {name: [uid for uid in uids if uid in held] for name, uids in before.items()}
    gone = {name: len(uids) - len(uncounted[name]) for name, uids in before.items()}
    waiting = {uid for uids in uncounted.values() for uid in uids}
    released = [_released(*held[uid]) for uid in sorted(waiting)]
    ends = [_End(ref, pod, *_outcome(job, pod)) for uid, (ref, pod) in held.items() if uid not in waiting]
    tries = _tries(job, ends, pods, known)
    kept = set() if ending else tries.kept
    for end in ends:
        outcome = end.outcome
        if outcome == "succeeded" and is_indexed(job):
            index = jobindexes.of_pod(end.pod)
            if 0 <= index < most and index not in known:
                completed.add(index)
            else:
                outcome = "ignored"
        elif outcome in uncounted and end.ref not in kept:
            uncounted[outcome].append(end.pod["metadata"]["uid"])
        if outcome == "ignored" and end.ref not in kept:
            released.append(_released(end.ref, end.pod))
    succeeded = number(status.get("succeeded")) + gone["succeeded"]
    return Tally(
        succeeded=len(completed) if is_indexed(job) else succeeded,
        failed=number(status.get("failed")) + gone["failed"],
        completed=completed,
        uncounted={name: uids for name, uids in uncounted.items() if uids},
        released=released,
        fatal=next((end.fatal for end in ends if end.fatal), ""),
        given_up=tries.given_up - completed,
        retries=tries.retries,
        kept=len(kept),
        kept_failed=sum(end.ref in kept and end.outcome == "failed" for end in ends),
    )


class _End(NamedTuple):
    """A pod that the Job has not counted yet, and what became of it (see `_outcome`)."""

    ref: Ref
    pod: Json
    outcome: str
    action: str
    fatal: str


class _Tries(NamedTuple):
    """What is known of the indexes that have failed, of a Job whose indexes count by themselves."""

    given_up: set[int]
    retries: dict[int, jobretries.Retry]
    kept: set[Ref]


def _tries(job: Json, ends: list[_End], pods: list[tuple[Ref, Json]], completed: set[int]) -> _Tries:
    limit, most = jobretries.limit(job), int(job["spec"].get("completions") or 0)
    if limit is None:
        return _Tries(set(), {}, set())
    tries = _Tries(jobindexes.read((job.get("status") or {}).get("failedIndexes"), most), {}, set())
    failures = [end for end in ends if end.action]
    for end in failures:
        if jobretries.Failure(end.pod, end.action).is_last(limit):
            tries.given_up.add(jobindexes.of_pod(end.pod))
    newest = jobretries.newest(pod for _, pod in pods)
    for end in failures:
        index = jobindexes.of_pod(end.pod)
        is_open = 0 <= index < most and index not in tries.given_up and index not in completed
        if is_open and sum(jobretries.before(end.pod)) == newest[index]:
            tries.retries[index] = jobretries.Failure(end.pod, end.action).retry()
            tries.kept.add(end.ref)
    return tries


def number(found: Any) -> int:
    """A number of a status, which may have been written by anybody."""
    return found if isinstance(found, int) and found > 0 else 0


def _uids(found: Any, outcome: str) -> list[str]:
    listed = found.get(outcome) if isinstance(found, dict) else None
    return [uid for uid in listed if isinstance(uid, str)] if isinstance(listed, list) else []


def release(pods: list[tuple[Ref, Json]]) -> list[Action]:
    """Let go of pods that nobody counts any more."""
    return [_released(ref, pod) for ref, pod in pods if is_tracked(pod)]


def is_tracked(pod: Json) -> bool:
    """Whether a Job still keeps the pod."""
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def _outcome(job: Json, pod: Json) -> tuple[str, str, str]:
    """`succeeded`, `failed`, `ignored` (it is over, and does not count) or "" (it goes on); what the Job's
    policy says of a failure; and why all is lost."""
    phase = (pod.get("status") or {}).get("phase")
    if phase == "Succeeded":
        return "succeeded", "", ""
    over = is_finished(pod)
    if is_terminating(pod) and not over:
        if job["spec"].get("suspend"):
            return "ignored", "", ""
        over = job["spec"].get("podReplacementPolicy") != "Failed"
    if not over:
        return "", "", ""
    action, why = jobfailures.action(job["spec"].get("podFailurePolicy"), pod)
    outcome = "ignored" if action == "Ignore" else "failed"
    return outcome, action, why if action == "FailJob" else ""


def _released(ref: Ref, pod: Json) -> Action:
    left = [name for name in pod["metadata"]["finalizers"] if name != TRACKING]
    free = with_metadata(pod, finalizers=left or None)
    return Delete(ref) if documents.is_finished(free) else Update(ref, free)
