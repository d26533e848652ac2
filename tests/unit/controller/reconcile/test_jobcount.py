"""Each pod of a Job is counted once, in the order: written, let go, counted."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile import jobcount, jobindexes
from tsujiban.controller.reconcile.actions import Delete, Update
from tsujiban.controller.world import PODS, Json, Ref

REF = Ref(*PODS, "default", "p")


def pod(phase: str, uid: str = "u", *, kept: bool = True, index: int | None = None, **metadata: Any) -> Json:
    head: Json = {"name": "p", "uid": uid, **metadata}
    if kept:
        head["finalizers"] = [jobcount.TRACKING]
    if index is not None:
        head["annotations"] = {jobindexes.INDEX: str(index)}
    return {"metadata": head, "status": {"phase": phase}}


def job(status: Json | None = None, **spec: Any) -> Json:
    return {"metadata": {"name": "j"}, "spec": {"completions": 3, **spec}, "status": status or {}}


def test_an_end_is_written_before_the_pod_is_let_go() -> None:
    first = jobcount.tally(job(), [(REF, pod("Succeeded"))])
    assert (first.uncounted, first.succeeded, first.released) == ({"succeeded": ["u"]}, 0, [])
    assert first.all_succeeded == 1
    written = job({"uncountedTerminatedPods": first.uncounted})
    second = jobcount.tally(written, [(REF, pod("Succeeded"))])
    (free,) = second.released
    assert isinstance(free, Update)
    assert "finalizers" not in free.obj["metadata"]
    assert (second.succeeded, second.uncounted) == (0, first.uncounted)
    for left in ([(REF, pod("Succeeded", kept=False))], []):  # also when it was deleted meanwhile
        third = jobcount.tally(written, left)
        assert (third.succeeded, third.uncounted, third.released) == (1, {}, [])


def test_what_is_counted_already_is_not_counted_again() -> None:
    assert jobcount.tally(job({"failed": 2}), [(REF, pod("Failed", kept=False))]).failed == 2


def test_a_pod_that_is_deleted_has_failed_unless_the_job_says_otherwise() -> None:
    going = pod("Running", deletionTimestamp="x", deletionGracePeriodSeconds=30)
    assert jobcount.tally(job(), [(REF, going)]).all_failed == 1
    assert jobcount.tally(job(podReplacementPolicy="Failed"), [(REF, going)]).all_failed == 0
    held_up = jobcount.tally(job(suspend=True), [(REF, going)])
    assert (held_up.all_failed, len(held_up.released)) == (0, 1)


def test_a_pod_that_has_ended_and_was_deleted_goes_when_it_is_let_go() -> None:
    gone = pod("Failed", deletionTimestamp="x")
    told = job({"uncountedTerminatedPods": {"failed": ["u"]}})
    assert jobcount.tally(told, [(REF, gone)]).released == [Delete(REF)]
    assert jobcount.release([(REF, gone)]) == [Delete(REF)]
    assert jobcount.release([(REF, pod("Running", kept=False))]) == []


def test_an_index_counts_once() -> None:
    indexed: dict[str, Any] = {"completionMode": "Indexed"}
    pods = [(REF, pod("Succeeded", "a", index=1)), (REF, pod("Succeeded", "b", index=9))]
    first = jobcount.tally(job(**indexed), pods)
    assert (first.completed, first.succeeded, len(first.released)) == ({1}, 1, 1)  # 9 is none of its indexes
    second = jobcount.tally(job({"completedIndexes": "1"}, **indexed), pods)
    assert (second.completed, second.succeeded, len(second.released)) == ({1}, 1, 2)


def test_a_policy_may_ignore_or_end_all() -> None:
    failed = pod("Failed")
    failed["status"]["conditions"] = [{"type": "Odd", "status": "True"}]
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "Odd"}]}]
    ignored = jobcount.tally(job(podFailurePolicy={"rules": rules}), [(REF, failed)])
    assert (ignored.all_failed, len(ignored.released), ignored.fatal) == (0, 1, "")
    rules[0]["action"] = "FailJob"
    assert "Odd" in jobcount.tally(job(podFailurePolicy={"rules": rules}), [(REF, failed)]).fatal
