"""A Job makes as many pods as it needs and no more, counts their ends, and ends itself."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.controller.reconcile.conftest import Kit

from tsujiban.controller.reconcile import garbage, jobcount, jobindexes, jobretries, jobs
from tsujiban.controller.reconcile.actions import Create, Update
from tsujiban.controller.world import JOBS, PODS, Json, Ref, is_finished, is_terminating, stamp, with_metadata

NOW = 1_700_000_000.0
REF = Ref(*JOBS, "default", "work")


class Work:
    """A Job, and hands that end its pods."""

    def __init__(self, kit: Any, **spec: Any) -> None:
        self.kit, self.world, self.now = kit, kit.world, NOW
        self._names = itertools.count(1)
        pod = {
            "containers": [{"name": "main", "image": "host"}],
            "restartPolicy": spec.pop("restart", "Never"),
        }
        spec = {"parallelism": 1, "template": {"metadata": {}, "spec": pod}, **spec}
        obj = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "work", "namespace": "default"},
            "spec": spec,
        }
        kit.put(REF, obj)

    def plan(self) -> Any:
        return jobs.plan(self.world, REF, self.now, lambda: f"{next(self._names):05}")

    def settle(self) -> float:
        """Until nothing is left to do now; when it wants to be asked again."""
        for _ in range(100):
            planned = self.plan()
            if not self.kit.carry_out(planned.actions):
                return float(planned.again)
            self.ended()
        pytest.fail("the job never settles")

    def ended(self) -> None:
        """Pods that were deleted end, as their nodes and the collector would have it."""
        for ref, pod in list(self.world.all(PODS)):
            if is_terminating(pod) and not jobcount.is_tracked(pod):
                self.world.drop(ref)

    def pods(self) -> list[tuple[Ref, Json]]:
        return [
            item for item in self.world.all(PODS) if not is_finished(item[1]) and not is_terminating(item[1])
        ]

    def end(self, phase: str, code: int = 0, count: int = 1) -> None:
        for ref, pod in self.pods()[:count]:
            terminated = {"exitCode": code, "finishedAt": stamp(self.now)}
            statuses = [{"name": "main", "state": {"terminated": terminated}}]
            self.world.put(ref, {**pod, "status": {"phase": phase, "containerStatuses": statuses}})

    def fail(self, *indexes: int, code: int = 1) -> None:
        """The running pods of these indexes fail."""
        for ref, pod in self.pods():
            if jobindexes.of_pod(pod) in indexes:
                terminated = {"exitCode": code, "finishedAt": stamp(self.now)}
                statuses = [{"name": "main", "state": {"terminated": terminated}}]
                self.world.put(ref, {**pod, "status": {"phase": "Failed", "containerStatuses": statuses}})

    def tries(self) -> dict[int, str]:
        """Of the running pods: by index, how often it has failed before."""
        pods = [pod for _, pod in self.pods()]
        return {jobindexes.of_pod(pod): pod["metadata"]["annotations"][jobretries.FAILURES] for pod in pods}

    def change(self, **spec: Any) -> None:
        obj = self.world.get(REF)
        self.world.put(REF, {**obj, "spec": {**obj["spec"], **spec}})

    @property
    def status(self) -> Json:
        found: Json = self.world.get(REF)["status"]
        return found

    def said(self) -> dict[str, tuple[str, str]]:
        listed = self.status.get("conditions", ())
        return {one["type"]: (one["status"], one["reason"]) for one in listed}


def test_one_pod_that_succeeds(kit: Any) -> None:
    work = Work(kit, completions=1)
    work.settle()
    ((_, pod),) = work.pods()
    assert pod["metadata"]["finalizers"] == [jobcount.TRACKING]
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "Job"
    assert work.status == {
        "startTime": stamp(NOW),
        "active": 1,
        "ready": 0,
        "terminating": 0,
        "uncountedTerminatedPods": {},
    }
    work.now += 5
    work.end("Succeeded")
    assert work.settle() == math.inf
    assert work.status["succeeded"] == 1
    assert work.status["completionTime"] == stamp(NOW + 5)
    assert work.said() == {
        "SuccessCriteriaMet": ("True", "CompletionsReached"),
        "Complete": ("True", "CompletionsReached"),
    }
    ((_, left),) = kit.world.all(PODS)  # for its log
    assert not jobcount.is_tracked(left)


def test_some_at_a_time_until_all_are_done(kit: Any) -> None:
    work = Work(kit, completions=5, parallelism=2)
    for done in range(5):
        work.settle()
        assert len(work.pods()) == min(2, 5 - done)
        work.end("Succeeded")
    work.settle()
    assert "Complete" in work.said()
    assert work.status["succeeded"] == 5


def test_a_queue_is_done_when_one_has_succeeded_and_all_have_ended(kit: Any) -> None:
    work = Work(kit, parallelism=3)
    work.settle()
    work.end("Succeeded")
    work.settle()
    assert len(work.pods()) == 2
    assert "Complete" not in work.said()
    work.end("Succeeded", count=2)
    work.settle()
    assert work.said()["Complete"] == ("True", "CompletionsReached")


def test_nothing_to_do_is_done_at_once(kit: Any) -> None:
    work = Work(kit, completions=0)
    work.settle()
    assert "Complete" in work.said()
    assert list(kit.world.all(PODS)) == []


def test_failures_pause_and_too_many_end_it(kit: Any) -> None:
    work = Work(kit, completions=1, backoffLimit=1)
    work.settle()
    work.end("Failed", 1)
    assert work.settle() == NOW + 10
    assert work.pods() == []
    work.now += 10
    work.settle()
    work.end("Failed", 1)
    work.settle()
    assert work.status["failed"] == 2
    assert work.said()["Failed"] == ("True", "BackoffLimitExceeded")
    assert "completionTime" not in work.status


def test_restarts_count_where_containers_restart(kit: Any) -> None:
    work = Work(kit, completions=1, backoffLimit=2, restart="OnFailure")
    work.settle()
    ((ref, pod),) = work.pods()
    running = {"phase": "Running", "containerStatuses": [{"name": "main", "restartCount": 1}]}
    kit.world.put(ref, {**pod, "status": running})
    work.settle()
    assert work.said() == {}
    running["containerStatuses"] = [{"name": "main", "restartCount": 2}]
    kit.world.put(ref, {**pod, "status": running})
    work.settle()
    assert work.said()["Failed"] == ("True", "BackoffLimitExceeded")


def test_a_failure_waits_for_what_still_runs(kit: Any) -> None:
    work = Work(kit, completions=3, parallelism=3, backoffLimit=0)
    work.settle()
    kit.carry_out(
        [
            Update(ref, {**pod, "spec": {**pod["spec"], "nodeName": "n"}, "status": {"podIP": "1"}})
            for ref, pod in work.pods()
        ]
    )
    work.end("Failed", 1)
    kit.carry_out(work.plan().actions)
    assert work.said() == {"FailureTarget": ("True", "BackoffLimitExceeded")}
    assert all(is_terminating(pod) for _, pod in kit.world.all(PODS) if not is_finished(pod))
    work.settle()
    assert work.said()["Failed"] == ("True", "BackoffLimitExceeded")
    assert work.status["failed"] == 3


def test_a_deadline_ends_it(kit: Any) -> None:
    work = Work(kit, completions=1, activeDeadlineSeconds=30)
    assert work.settle() == NOW + 30
    work.now += 30
    work.settle()
    assert work.said()["Failed"] == ("True", "DeadlineExceeded")
    assert work.pods() == []


def test_it_is_held_up_and_goes_on(kit: Any) -> None:
    work = Work(kit, completions=2, suspend=True)
    work.settle()
    assert (work.pods(), work.said()) == ([], {"Suspended": ("True", "JobSuspended")})
    assert "startTime" not in work.status
    work.change(suspend=False)
    work.settle()
    assert len(work.pods()) == 1
    assert work.said() == {"Suspended": ("False", "JobResumed")}
    work.end("Succeeded")
    work.settle()
    work.change(suspend=True)
    work.settle()
    assert work.pods() == []
    assert (work.status["succeeded"], work.status.get("failed")) == (1, None)


def test_it_goes_when_its_time_is_over(kit: Any) -> None:
    work = Work(kit, completions=0, ttlSecondsAfterFinished=60)
    assert work.settle() == NOW + 60
    work.now += 60
    work.settle()
    assert kit.world.get(REF) is None


def test_each_index_has_its_pod(kit: Any) -> None:
    work = Work(kit, completions=3, parallelism=2, completionMode="Indexed")
    work.settle()
    names = sorted(ref.name for ref, _ in work.pods())
    assert [name.rpartition("-")[0] for name in names] == ["work-0", "work-1"]
    _, pod = work.pods()[0]
    assert pod["spec"]["hostname"] == "work-0"
    assert pod["metadata"]["labels"][jobindexes.INDEX] == "0"
    (variable,) = pod["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
    assert jobindexes.INDEX in variable["valueFrom"]["fieldRef"]["fieldPath"]
    work.end("Succeeded", count=2)
    work.settle()
    assert work.status["completedIndexes"] == "0,1"
    assert [jobindexes.of_pod(pod) for _, pod in work.pods()] == [2]
    work.end("Failed", 1)
    work.settle()
    work.now += 10
    work.settle()
    assert [jobindexes.of_pod(pod) for _, pod in work.pods()] == [2]  # again
    work.end("Succeeded")
    work.settle()
    assert (work.status["completedIndexes"], work.status["succeeded"]) == ("0-2", 3)
    assert "Complete" in work.said()


def test_some_indexes_may_be_enough(kit: Any) -> None:
    policy = {"rules": [{"succeededIndexes": "0,2", "succeededCount": 1}]}
    work = Work(kit, completions=3, parallelism=3, completionMode="Indexed", successPolicy=policy)
    work.settle()
    work.end("Succeeded")
    work.settle()
    assert "Complete" in work.said()
    assert work.pods() == []


def test_a_policy_may_name_more_indexes_than_there_are(kit: Any) -> None:
    policy = {"rules": [{"succeededIndexes": "0-2147483647", "succeededCount": 2}]}
    work = Work(kit, completions=3, parallelism=1, completionMode="Indexed", successPolicy=policy)
    for _ in range(2):
        work.settle()
        assert "Complete" not in work.said()
        work.end("Succeeded")
    work.settle()
    assert "Complete" in work.said()


def by_index(kit: Any, **spec: Any) -> Work:
    given = {"backoffLimitPerIndex": 1, "backoffLimit": 2**31 - 1, "completionMode": "Indexed"}
    return Work(kit, **{"completions": 3, "parallelism": 3, **given, **spec})


def test_each_index_is_tried_again_by_itself(kit: Any) -> None:
    """`backoffLimitPerIndex` had no effect."""
    work = by_index(kit)
    work.settle()
    assert work.tries() == {0: "0", 1: "0", 2: "0"}
    assert work.status["failedIndexes"] == ""
    work.fail(0, 1)
    assert work.settle() == NOW + 10
    assert work.tries() == {2: "0"}
    work.now += 4
    work.fail(2)
    assert work.settle() == NOW + 10
    work.now = NOW + 10
    assert work.settle() == NOW + 14  # they do not wait for each other
    assert work.tries() == {0: "1", 1: "1"}
    work.fail(0)
    work.settle()
    assert work.status["failedIndexes"] == "0"
    assert "FailureTarget" not in work.said()  # the others go on
    work.now += 600
    work.settle()
    assert work.tries() == {1: "1", 2: "1"}
    work.end("Succeeded", count=2)
    work.settle()
    assert (work.status["completedIndexes"], work.status["failedIndexes"]) == ("1,2", "0")
    assert (work.status["succeeded"], work.status["failed"]) == (2, 4)
    assert work.said() == {
        "FailureTarget": ("True", "FailedIndexes"),
        "Failed": ("True", "FailedIndexes"),
    }
    assert not any(jobcount.is_tracked(pod) for _, pod in kit.world.all(PODS))


def test_so_many_indexes_may_fail(kit: Any) -> None:
    work = by_index(kit, backoffLimitPerIndex=0, maxFailedIndexes=1, completions=4, parallelism=4)
    work.settle()
    work.fail(3)
    work.settle()
    assert (work.status["failedIndexes"], work.said(), len(work.pods())) == ("3", {}, 3)
    work.fail(1)
    work.settle()
    assert work.status["failedIndexes"] == "1,3"
    assert work.pods() == []
    for ref, pod in list(work.world.all(PODS)):
        if is_terminating(pod):
            work.world.put(ref, {**pod, "status": {"phase": "Failed"}})
    work.settle()
    assert work.said()["Failed"] == ("True", "MaxFailedIndexesExceeded")


def test_who_deletes_a_failed_pod_does_not_make_its_index_begin_anew(kit: Any) -> None:
    work = by_index(kit, completions=1, parallelism=1)
    work.settle()
    work.fail(0)
    work.settle()
    ((ref, failed),) = work.world.all(PODS)
    assert jobcount.is_tracked(failed)
    kit.world.put(ref, with_metadata(failed, deletionTimestamp=stamp(NOW)))
    work.settle()
    assert work.tries() == {0: "1"}
    assert kit.world.get(ref) is None  # it was let go when there was the next
    assert work.status["failed"] == 1


def test_a_policy_may_give_an_index_up_or_pass_its_failure_over(kit: Any) -> None:
    rules = [
        {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
    ]
    policy = {"podFailurePolicy": {"rules": rules}, "podReplacementPolicy": "Failed"}
    work = by_index(kit, completions=2, parallelism=2, **policy)
    work.settle()
    work.fail(0, code=42)
    work.fail(1, code=7)
    work.settle()
    assert work.status["failedIndexes"] == "0"
    work.now += 10
    work.settle()
    assert work.tries() == {1: "0"}
    ((_, pod),) = work.pods()
    assert pod["metadata"]["annotations"][jobretries.IGNORED] == "1"
    work.end("Succeeded")
    work.settle()
    assert (work.said()["Failed"], work.status["failed"]) == (("True", "FailedIndexes"), 1)


def test_fewer_at_a_time_takes_pods_away(kit: Any) -> None:
    work = Work(kit, completions=9, parallelism=4)
    work.settle()
    work.change(parallelism=1)
    work.settle()
    assert len(work.pods()) == 1
    work.change(parallelism=0)
    work.settle()
    assert work.pods() == []


def test_a_job_of_another_controller_is_left_alone(kit: Any) -> None:
    Work(kit, completions=1, managedBy="example.com/other")
    assert jobs.plan(kit.world, REF, NOW) == ([], math.inf)


def test_the_pods_of_a_job_that_is_gone_are_let_go(kit: Any) -> None:
    work = Work(kit, completions=1)
    work.settle()
    ((ref, _),) = work.pods()
    assert jobs.released(kit.world, ref) == []
    kit.world.put(REF, with_metadata(kit.world.get(REF), deletionTimestamp=stamp(NOW)))
    assert len(jobs.released(kit.world, ref)) == 1
    kit.world.drop(REF)
    kit.carry_out(jobs.released(kit.world, ref))
    assert not jobcount.is_tracked(kit.world.get(ref))
    assert jobs.released(kit.world, ref) == []
    kit.carry_out(garbage.orphaned(kit.world, "uid-1"))
    assert list(kit.world.all(PODS)) == []


EVENT = st.sampled_from(["succeed", "fail", "delete", "lose", "time", "more", "less", "end"])


@settings(max_examples=150, deadline=None)
@given(
    completions=st.integers(1, 6),
    parallelism=st.integers(1, 4),
    indexed=st.booleans(),
    limit=st.integers(0, 5),
    story=st.lists(EVENT, max_size=40),
    replacement=st.sampled_from(["Failed", "TerminatingOrFailed"]),
    per_index=st.none() | st.integers(0, 2),
)
def test_it_never_makes_too_many_and_counts_each_once(
    completions: int,
    parallelism: int,
    indexed: bool,
    limit: int,
    story: list[str],
    replacement: str,
    per_index: int | None,
) -> None:
    mode = "Indexed" if indexed else "NonIndexed"
    by_itself = {"backoffLimitPerIndex": per_index} if indexed and per_index is not None else {}
    work = Work(
        Kit(),
        completions=completions,
        parallelism=parallelism,
        completionMode=mode,
        backoffLimit=limit,
        podReplacementPolicy=replacement,
        **by_itself,
    )
    succeeded: set[str] = set()
    failed: set[str] = set()
    most = parallelism

    def step(*, lose: bool = False) -> None:
        before = len(work.pods())
        actions = work.plan().actions
        kept = [a for a in actions if not (lose and isinstance(a, Update) and a.ref == REF)]
        work.kit.carry_out(kept)  # a status that is lost is written again
        work.ended()
        if any(isinstance(action, Create) for action in actions):
            assert len(work.pods()) <= most
            assert len(work.pods()) + len(succeeded) <= completions
        elif before:
            assert len(work.pods()) <= before

    for event in story:
        if event in ("succeed", "fail"):
            for _, pod in work.pods()[:1]:
                (succeeded if event == "succeed" else failed).add(pod["metadata"]["uid"])
            work.end("Succeeded" if event == "succeed" else "Failed", int(event == "fail"))
        elif event == "delete":
            for ref, pod in work.pods()[:1]:
                failed.add(pod["metadata"]["uid"])
                work.world.put(ref, with_metadata(pod, deletionTimestamp=stamp(work.now)))
        elif event == "end":  # what was deleted has ended
            for ref, pod in list(work.world.all(PODS)):
                if is_terminating(pod):
                    work.world.put(ref, {**pod, "status": {"phase": "Failed"}})
        elif event == "time":
            work.now += 600
        elif event in ("more", "less"):
            most = max(0, most + (1 if event == "more" else -1))
            work.change(parallelism=most)
            if event == "less":
                failed |= {pod["metadata"]["uid"] for _, pod in work.pods()}  # at most
        step(lose=event == "lose")
    for ref, pod in list(work.world.all(PODS)):
        if is_terminating(pod):
            work.world.put(ref, {**pod, "status": {"phase": "Failed"}})
    work.settle()
    status = work.status
    assert status.get("succeeded", 0) == len(succeeded)
    assert status.get("failed", 0) <= len(failed) + (parallelism + 40 if "Failed" in work.said() else 0)
    assert ("Complete" in work.said()) <= (len(succeeded) == completions)
    reason = work.said().get("Failed", ("", ""))[1]
    if reason == "FailedIndexes":
        given_up = jobindexes.read(status["failedIndexes"], completions)
        assert len(given_up) + len(succeeded) == completions
    elif reason:
        assert status["failed"] > limit
    kept = sum(jobcount.is_tracked(pod) for _, pod in work.world.all(PODS) if is_finished(pod))
    assert not (kept and (reason or not by_itself))  # until their indexes are tried again
    if "less" not in story and not reason:
        assert status.get("failed", 0) + kept == len(failed)
