"""Statuses are written when they matter, and not in storms."""

from __future__ import annotations

from tests.support.pki import Clock

from tsujiban.controller import pace
from tsujiban.controller.pace import Pace, Waiting
from tsujiban.controller.world import Ref


def ref(name: str) -> Ref:
    return Ref("projectcalico.org", "networkpolicies", "default", name)


def test_what_somebody_waits_for_is_written_at_once() -> None:
    found = Pace(Clock(0.0))
    for _ in range(3):
        assert found.due([Waiting(ref("a"), urgent=True)]) == ([ref("a")], 0.0)


def test_progress_of_one_object_is_written_now_and_then() -> None:
    clock = Clock(0.0)
    found = Pace(clock)
    progress = [Waiting(ref("a"), urgent=False)]
    assert found.due(progress) == ([ref("a")], 0.0)
    clock.now = 0.5
    assert found.due(progress) == ([], pace.GAP_SECONDS - 0.5)
    assert found.due([*progress, Waiting(ref("b"), urgent=False)])[0] == [ref("b")]
    clock.now = pace.GAP_SECONDS
    assert found.due(progress) == ([ref("a")], 0.0)


def test_all_together_are_bounded_and_urgent_ones_come_first() -> None:
    clock = Clock(0.0)
    found = Pace(clock)
    progress = [Waiting(ref(f"slow-{number}"), urgent=False) for number in range(pace.PER_SECOND)]
    urgent = [Waiting(ref(f"fast-{number}"), urgent=True) for number in range(10)]
    now, again = found.due([*progress, *urgent])
    assert now[:10] == [one.ref for one in urgent]
    assert len(now) == pace.PER_SECOND
    assert again > 0
    late = [one for one in progress if one.ref not in now]
    assert found.due(late)[0] == []
    clock.now = 10 * again
    assert found.due(late)[0] == [one.ref for one in late]


def test_nothing_waits() -> None:
    assert Pace(Clock(0.0)).due([]) == ([], 0.0)
