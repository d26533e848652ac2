"""Job to Pods that end: as many at a time as may be, until enough succeeded or too many failed. Pure.

Its end is told in two steps, as Kubernetes does since 1.31: first what it will be (`SuccessCriteriaMet`,
`FailureTarget`), and `Complete` or `Failed` when no pod of it is left running.
Source: Kubernetes documentation, "Jobs", "Automatic Cleanup for Finished Jobs"; API reference, Job.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from tsujiban.controller.reconcile import jobcount, jobfailures, jobindexes, jobretries
from tsujiban.controller.reconcile.actions import Action, Create, Delete, Planned, Update
from tsujiban.controller.reconcile.ending import ended
from tsujiban.controller.reconcile.jobcount import Tally, is_indexed
from tsujiban.controller.reconcile.podtemplates import may_make, named, pod_of, random_suffix
from tsujiban.controller.world import (
    JOBS,
    PODS,
    Json,
    Ref,
    World,
    controller_of,
    is_finished,
    is_ready,
    is_terminating,
    stamp,
    unstamped,
)

BACKOFF_LIMIT = 6
_OURS = "kubernetes.io/job-controller"
_ENDS = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}


class _Verdict(NamedTuple):
    condition: str
    reason: str
    message: str


_SUCCESS = _Verdict("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")


def plan(world: World, ref: Ref, now: float, suffix: Callable[[], str] = random_suffix) -> Planned:
    """What to write for one Job."""
    job = world.get(ref)
    if job is None or is_terminating(job) or job["spec"].get("managedBy") not in (None, _OURS):
        return Planned([])
    pods = world.owned_by(job["metadata"]["uid"], PODS)
    if finished_at(job) is not None:
        return _cleaned(job, ref, pods, now)
    conditions = _Conditions(job, now)
    tally = jobcount.tally(job, pods, ending=any(conditions.held(kind) for kind in _ENDS))
    status = {**(job.get("status") or {}), "startTime": _started(job, conditions, now)}
    active = [(pod_ref, pod) for pod_ref, pod in pods if not is_finished(pod) and not is_terminating(pod)]
    verdict = _verdict(job, status, tally, active, conditions, now)
    actions, again = list(tally.released), math.inf
    if verdict is not None or job["spec"].get("suspend"):
        actions += [action for pod_ref, pod in active for action in ended(pod_ref, pod, now)]
    else:
        again = _deadline(job, status)
        more, later = _manage(job, tally, pods, active, now, suffix)
        actions, again = [*actions, *more], min(again, later)
    left = any(not is_finished(pod) for _, pod in pods)
    if verdict is not None and not (left or tally.uncounted or tally.released or tally.kept):
        conditions.set(_ENDS[verdict.condition], verdict.reason, verdict.message)
        if verdict.condition == _SUCCESS.condition:
            status["completionTime"] = stamp(now)
    status = _status(job, status, tally, pods, active) | {"conditions": conditions.listed}
    status = {name: value for name, value in status.items() if value not in (None, [])}
    if status != job.get("status"):
        actions.append(Update(ref, {**job, "status": status}))
    return Planned(actions, again)


def released(world: World, ref: Ref) -> list[Action]:
    """Let go of a pod whose Job is not there any more, or is going."""
    pod = world.get(ref)
    if pod is None or not jobcount.is_tracked(pod):
        return []
    owner = controller_of(pod)
    job = world.find(JOBS, ref.namespace, owner["name"]) if owner and owner.get("kind") == "Job" else None
    if owner and job and job["metadata"]["uid"] == owner["uid"] and not is_terminating(job):
        return []
    return jobcount.release([(ref, pod)])


def finished_at(job: Json) -> float | None:
    """When the Job was complete or failed, UNIX seconds; None while it is neither."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in _ENDS.values() and condition["status"] == "True":
            return unstamped(condition.get("lastTransitionTime")) or 0.0
    return None


class _Conditions:
    """The conditions of a Job's status, to be changed."""

    def __init__(self, job: Json, now: float) -> None:
        self._now = now
        self.listed: list[Json] = list((job.get("status") or {}).get("conditions") or ())

    def held(self, kind: str) -> Json | None:
        """A condition that is true."""
        return next((c for c in self.listed if c["type"] == kind and c["status"] == "True"), None)

    def set(self, kind: str, reason: str, message: str, *, true: bool = True) -> None:
        """Have it say so."""
        status = "True" if true else "False"
        old = next((c for c in self.listed if c["type"] == kind), None)
        if old is not None and (old["status"], old.get("reason")) == (status, reason):
            return
        times = {"lastProbeTime": stamp(self._now), "lastTransitionTime": stamp(self._now)}
        new = {"type": kind, "status": status, **times, "reason": reason, "message": message}
        self.listed = [*(c for c in self.listed if c["type"] != kind), new]


def _cleaned(job: Json, ref: Ref, pods: list[tuple[Ref, Json]], now: float) -> Planned:
    """A Job that is over: its pods are free, and it goes when its time has come."""
    actions = jobcount.release(pods)
    kept = job["spec"].get("ttlSecondsAfterFinished")
    due = math.inf if kept is None else (finished_at(job) or 0.0) + kept
    if due <= now and not job["metadata"].get("finalizers"):
        return Planned([*actions, Delete(ref)])
    return Planned(actions, due if due > now else math.inf)


def _started(job: Json, conditions: _Conditions, now: float) -> str | None:
    """Since when it runs; it begins anew when it is resumed."""
    since: str | None = (job.get("status") or {}).get("startTime")
    if job["spec"].get("suspend"):
        conditions.set("Suspended", "JobSuspended", "Job suspended")
        return None
    if conditions.held("Suspended"):
        conditions.set("Suspended", "JobResumed", "Job resumed", true=False)
    return since or stamp(now)


def _verdict(
    job: Json,
    status: Json,
    tally: Tally,
    active: list[tuple[Ref, Json]],
    conditions: _Conditions,
    now: float,
) -> _Verdict | None:
    """What the Job's end is to be; None while it goes on."""
    for kind in _ENDS:
        held = conditions.held(kind)
        if held is not None:
            return _Verdict(kind, str(held.get("reason")), str(held.get("message")))
    verdict = _failure(job, status, tally, active, now)
    if verdict is None and _is_complete(job, tally, active):
        verdict = _SUCCESS
    if verdict is not None:
        conditions.set(*verdict)
    return verdict


def _failure(
    job: Json, status: Json, tally: Tally, active: list[tuple[Ref, Json]], now: float
) -> _Verdict | None:
    if tally.fatal:
        return _Verdict("FailureTarget", "PodFailurePolicy", tally.fatal)
    limit = job["spec"].get("backoffLimit")
    limit = BACKOFF_LIMIT if limit is None else limit
    restarts = 0
    if job["spec"]["template"]["spec"].get("restartPolicy") == "OnFailure":
        restarts = sum(_restarts(pod) for _, pod in active)
    if tally.all_failed > limit or (restarts and restarts >= max(limit, 1)):
        message = "Job has reached the specified backoff limit"
        return _Verdict("FailureTarget", "BackoffLimitExceeded", message)
    if _deadline(job, status) <= now:
        message = "Job was active longer than specified deadline"
        return _Verdict("FailureTarget", "DeadlineExceeded", message)
    return _lost(job, tally)


def _lost(job: Json, tally: Tally) -> _Verdict | None:
    """Whether too many indexes were given up, or no other is left."""
    most, lost = job["spec"].get("maxFailedIndexes"), len(tally.given_up)
    if most is not None and lost > most:
        message = "Job has exceeded the specified maximal number of failed indexes"
        return _Verdict("FailureTarget", "MaxFailedIndexesExceeded", message)
    if lost and lost + len(tally.completed) >= int(job["spec"].get("completions") or 0):
        return _Verdict("FailureTarget", "FailedIndexes", "Job has failed indexes")
    return None


def _restarts(pod: Json) -> int:
    found = (pod.get("status") or {}).get("containerStatuses")
    listed = found if isinstance(found, list) else ()
    return sum(jobcount.number(one.get("restartCount")) for one in listed if isinstance(one, dict))


def _deadline(job: Json, status: Json) -> float:
    seconds, since = job["spec"].get("activeDeadlineSeconds"), unstamped(status.get("startTime"))
    return math.inf if seconds is None or since is None else since + seconds


def _is_complete(job: Json, tally: Tally, active: list[tuple[Ref, Json]]) -> bool:
    """Without a number of completions, the pods say so: one has succeeded, and all have ended."""
    wanted = job["spec"].get("completions")
    if wanted is None:
        return tally.all_succeeded > 0 and not active
    return tally.all_succeeded >= wanted or _meets(job["spec"].get("successPolicy"), tally, int(wanted))


def _meets(policy: Any, tally: Tally, most: int) -> bool:
    """Whether the indexes that are done are enough by the Job's own word."""
    for rule in (policy or {}).get("rules") or ():
        done, named_ = tally.completed, rule.get("succeededIndexes")
        counted = done & jobindexes.read(named_, max(done, default=-1) + 1) if named_ else done
        enough = rule.get("succeededCount") or jobindexes.count(named_, most)
        if enough and len(counted) >= enough:
            return True
    return False


def _manage(
    job: Json,
    tally: Tally,
    pods: list[tuple[Ref, Json]],
    active: list[tuple[Ref, Json]],
    now: float,
    suffix: Callable[[], str],
) -> tuple[list[Action], float]:
    """Make pods that are missing, take away those that are too many; when to look again."""
    spec = job["spec"]
    most, wanted = int(spec.get("parallelism", 1)), spec.get("completions")
    if wanted is None:
        room = most if not tally.all_succeeded else min(most, len(active))
    else:
        room = min(most, max(0, wanted - tally.all_succeeded))
    keep = _kept(job, tally, active)
    surplus = sorted(keep, key=_worth)[: max(0, len(keep) - room)]
    kept = {ref for ref, _ in keep} - {ref for ref, _ in surplus}
    actions = [action for ref, pod in active if ref not in kept for action in ended(ref, pod, now)]
    occupied = [pod for ref, pod in active if ref in kept]
    if spec.get("podReplacementPolicy") == "Failed":
        occupied += [pod for _, pod in pods if is_terminating(pod) and not is_finished(pod)]
    missing = may_make(room - len(occupied), occupied)
    if missing <= 0:
        return actions, math.inf
    by_index = jobretries.limit(job) is not None
    if not by_index and (resumed := jobfailures.resumed_at(pod for _, pod in pods)) > now:
        return actions, resumed
    if not is_indexed(job):
        return [*actions, *(_pod(job, suffix()) for _ in range(missing))], math.inf
    taken = tally.completed | tally.given_up | {jobindexes.of_pod(pod) for pod in occupied}
    pausing = (
        {index: retry.at for index, retry in tally.retries.items() if retry.at > now} if by_index else {}
    )
    free = (index for index in range(int(wanted or 0)) if index not in taken and index not in pausing)
    for index, _ in zip(free, range(missing), strict=False):
        actions.append(_pod(job, suffix(), index, tally.retries.get(index, jobretries.FIRST)))
    return actions, min((at for index, at in pausing.items() if index not in taken), default=math.inf)


def _kept(job: Json, tally: Tally, active: list[tuple[Ref, Json]]) -> list[tuple[Ref, Json]]:
    """The pods that may go on: of an Indexed Job one for each index that is not done or given up."""
    if not is_indexed(job):
        return active
    most, done = int(job["spec"].get("completions") or 0), tally.completed | tally.given_up
    by_index: dict[int, tuple[Ref, Json]] = {}
    for item in sorted(active, key=_worth, reverse=True):
        index = jobindexes.of_pod(item[1])
        if 0 <= index < most and index not in done:
            by_index.setdefault(index, item)
    return list(by_index.values())


def _worth(item: tuple[Ref, Json]) -> tuple[bool, bool, int, str]:
    """Sorts what may go first: not placed, not ready, of equals the highest index."""
    ref, pod = item
    return bool(pod["spec"].get("nodeName")), is_ready(pod), -jobindexes.of_pod(pod), ref.name


def _pod(
    job: Json, suffix: str, index: int | None = None, retry: jobretries.Retry = jobretries.FIRST
) -> Create:
    template, name = job["spec"]["template"], job["metadata"]["name"]
    finalizers = (jobcount.TRACKING,)
    if index is None:
        return Create(*pod_of(job, template, named(name, suffix), finalizers=finalizers))
    mark = {jobindexes.INDEX: str(index)}
    base = f"{name}-{index}"
    spec = {"hostname": base[:63].rstrip("-."), **_numbered(template["spec"])}
    told = {**mark, **retry.annotations()} if jobretries.limit(job) is not None else mark
    made = pod_of(
        job, template, named(base, suffix), labels=mark, annotations=told, finalizers=finalizers, spec=spec
    )
    return Create(*made)


def _numbered(spec: Json) -> Json:
    """The containers, told their index by a variable, unless they have one of that name."""
    field = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{jobindexes.INDEX}']"}}
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": field}

    def told(container: Json) -> Json:
        env = container.get("env") or []
        known = any(one.get("name") == variable["name"] for one in env)
        return container if known else {**container, "env": [*env, variable]}

    kinds = ("containers", "initContainers")
    return {kind: [told(container) for container in spec[kind]] for kind in kinds if spec.get(kind)}


def _status(
    job: Json, status: Json, tally: Tally, pods: list[tuple[Ref, Json]], active: list[tuple[Ref, Json]]
) -> Json:
    ending = sum(is_terminating(pod) and not is_finished(pod) for _, pod in pods)
    numbers: Json = {
        "active": len(active) or None,
        "succeeded": tally.succeeded or None,
        "failed": tally.failed or None,
        "ready": sum(is_ready(pod) for _, pod in active),
        "terminating": ending,
        "uncountedTerminatedPods": tally.uncounted,
    }
    if is_indexed(job):
        numbers["completedIndexes"] = jobindexes.written(tally.completed) or None
    if jobretries.limit(job) is not None:
        numbers["failedIndexes"] = jobindexes.written(tally.given_up)
    return {**status, **numbers}
