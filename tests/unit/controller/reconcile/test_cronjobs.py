"""A CronJob makes one Job for each of its times, whatever happens in between."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.controller.reconcile.conftest import Kit

from tsujiban.controller.reconcile import cronjobs
from tsujiban.controller.world import CRON_JOBS, JOBS, Json, Ref, stamp, with_metadata

NOW = datetime(2026, 3, 3, 12, 0, 30, tzinfo=UTC).timestamp()
NEXT = NOW + 30
REF = Ref(*CRON_JOBS, "default", "tick")


class Clock:
    """A CronJob, and the time."""

    def __init__(self, kit: Any, schedule: str = "* * * * *", **spec: Any) -> None:
        self.kit, self.world, self.now = kit, kit.world, NOW
        template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "host"}]}}
        obj = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "tick", "namespace": "default", "creationTimestamp": stamp(NOW)},
            "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": template}}, **spec},
        }
        kit.put(REF, obj)
        self.made: list[str] = []

    def settle(self) -> float:
        """Until nothing is left to do now; when it wants to be asked again."""
        for _ in range(20):
            planned = cronjobs.plan(self.world, REF, self.now)
            if not self.kit.carry_out(planned.actions):
                return float(planned.again)
            self.made += [name for name in self.names() if name not in self.made]
        pytest.fail("it never settles")

    def tick(self, minutes: int = 1) -> float:
        self.now += 60 * minutes
        return self.settle()

    def names(self) -> list[str]:
        return [ref.name for ref, _ in self.world.all(JOBS)]

    def end(self, name: str, kind: str = "Complete") -> None:
        ref = Ref(*JOBS, "default", name)
        job = self.world.get(ref)
        condition = {"type": kind, "status": "True", "lastTransitionTime": stamp(self.now)}
        status = {"startTime": stamp(self.now), "conditions": [condition]}
        if kind == "Complete":
            status["completionTime"] = stamp(self.now)
        self.world.put(ref, {**job, "status": status})

    def change(self, **spec: Any) -> None:
        obj = self.world.get(REF)
        self.world.put(REF, {**obj, "spec": {**obj["spec"], **spec}})

    @property
    def status(self) -> Json:
        found: Json = self.world.get(REF).get("status", {})
        return found


def name_at(moment: float) -> str:
    return f"tick-{int(moment // 60)}"


def test_a_job_at_its_time_and_the_time_is_written_down(kit: Any) -> None:
    clock = Clock(kit)
    assert clock.settle() == NEXT
    assert clock.names() == []
    assert clock.tick() == NEXT + 60
    assert clock.names() == [name_at(NEXT)]
    ((_, job),) = kit.world.all(JOBS)
    head = job["metadata"]
    assert head["annotations"][cronjobs.SCHEDULED_AT] == "2026-03-03T12:01:00Z"
    assert head["ownerReferences"][0]["kind"] == "CronJob"
    assert job["spec"]["backoffLimit"] == 6  # as if it had come by a request
    assert job["spec"]["selector"]["matchLabels"]
    assert clock.status["lastScheduleTime"] == stamp(NEXT)
    assert [one["name"] for one in clock.status["active"]] == [name_at(NEXT)]


def test_its_job_is_the_one_that_its_selector_names(kit: Any) -> None:
    clock = Clock(kit)
    clock.now += 60
    (made,) = (a for a in cronjobs.plan(kit.world, REF, clock.now).actions if a.ref[:2] == JOBS)
    selector = made.obj["spec"]["selector"]["matchLabels"]  # type: ignore[union-attr]  # a creation
    assert list(selector.values()) == [made.uid]  # type: ignore[union-attr]


def test_of_what_was_missed_only_the_last_is_made_up_for(kit: Any) -> None:
    clock = Clock(kit)
    clock.tick(90)
    assert clock.names() == [name_at(clock.now)]


def test_what_is_too_late_is_not_made_up_for(kit: Any) -> None:
    clock = Clock(kit, "0 12 * * *", startingDeadlineSeconds=100)
    clock.now = NOW + 86400  # 30 seconds after noon
    clock.settle()
    assert clock.names() == [name_at(clock.now)]
    clock.now += 86400 + 120
    clock.settle()
    assert len(clock.names()) == 1


@pytest.mark.parametrize(("policy", "left"), [("Allow", 2), ("Forbid", 1), ("Replace", 1)])
def test_several_at_once(kit: Any, policy: str, left: int) -> None:
    clock = Clock(kit, concurrencyPolicy=policy)
    clock.tick()
    first = clock.names()[0]
    clock.tick()
    assert len(clock.names()) == left
    assert (first in clock.names()) is (policy != "Replace")
    assert len(clock.status["active"]) == left


def test_what_was_held_back_comes_when_the_other_has_ended(kit: Any) -> None:
    clock = Clock(kit, concurrencyPolicy="Forbid")
    clock.tick()
    clock.tick()
    assert clock.names() == [name_at(NEXT)]
    clock.end(name_at(NEXT))
    clock.settle()
    assert clock.names() == [name_at(NEXT), name_at(NEXT + 60)]


def test_old_ones_go(kit: Any) -> None:
    clock = Clock(kit, successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1)
    for number in range(8):
        clock.tick()
        clock.end(clock.made[-1], "Failed" if number % 2 else "Complete")
        clock.settle()
    assert clock.names() == [clock.made[index] for index in (4, 6, 7)]
    assert clock.status["lastSuccessfulTime"] == stamp(clock.now - 60)
    assert "active" not in clock.status
    clock.change(successfulJobsHistoryLimit=0, failedJobsHistoryLimit=0)
    clock.settle()
    assert clock.names() == []


def test_it_is_held_up_and_goes_on(kit: Any) -> None:
    clock = Clock(kit, suspend=True)
    assert clock.tick(3) == math.inf
    assert clock.names() == []
    clock.change(suspend=False)
    clock.settle()
    assert clock.names() == [name_at(clock.now)]


def test_a_job_that_a_person_made_holds_nothing_up(kit: Any) -> None:
    clock = Clock(kit, concurrencyPolicy="Forbid")
    owner = {
        "kind": "CronJob",
        "name": "tick",
        "uid": kit.world.get(REF)["metadata"]["uid"],
        "controller": True,
    }
    manual = {"metadata": {"name": "by-hand", "ownerReferences": [owner]}, "spec": {}}
    kit.put(Ref(*JOBS, "default", "by-hand"), manual)
    clock.tick()
    assert name_at(clock.now) in clock.names()


def test_in_its_zone_and_in_steps(kit: Any) -> None:
    assert Clock(kit, "0 22 * * *", timeZone="Asia/Tokyo").settle() == NOW - 30 + 3600
    clock = Clock(kit, "@every 90s")
    assert clock.settle() == NOW + 90
    clock.tick(2)
    assert clock.status["lastScheduleTime"] == stamp(NOW + 90)
    assert clock.settle() == NOW + 180


@pytest.mark.parametrize("odd", [{"schedule": "x"}, {"timeZone": "Mars/Olympus"}])
def test_what_cannot_be_read_does_nothing(kit: Any, odd: dict[str, str]) -> None:
    clock = Clock(kit)
    clock.change(**odd)
    assert clock.tick() == math.inf
    assert clock.names() == []


def test_what_goes_is_left_alone(kit: Any) -> None:
    Clock(kit)
    kit.world.put(REF, with_metadata(kit.world.get(REF), deletionTimestamp=stamp(NOW)))
    assert cronjobs.plan(kit.world, REF, NOW + 999) == ([], math.inf)


@settings(max_examples=60, deadline=None)
@given(waits=st.lists(st.integers(1, 3), max_size=20), ends=st.lists(st.booleans(), max_size=20))
def test_no_time_is_met_twice(waits: list[int], ends: list[bool]) -> None:
    clock = Clock(Kit(), concurrencyPolicy="Forbid", successfulJobsHistoryLimit=0)
    for minutes, over in zip(waits, ends, strict=False):
        clock.tick(minutes)
        assert len(clock.names()) <= 1
        if over:
            for name in clock.names():
                clock.end(name)  # which takes it away: its time must be remembered
            clock.settle()
            clock.settle()
    assert len(clock.made) == len(set(clock.made))
    if all(ends[: len(waits)]) and len(ends) >= len(waits):
        assert len(clock.made) == len(waits)
