"""Schedules: what they mean, when they are due, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsujiban.resources import cron

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 3, 3, 12, 0, 30, tzinfo=UTC).timestamp()  # a Tuesday


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        ("* * * * *", "2026-03-03 12:01"),
        ("*/15 * * * *", "2026-03-03 12:15"),
        ("5/20 * * * *", "2026-03-03 12:05"),
        ("30 11 * * *", "2026-03-04 11:30"),
        ("0 0 1 * *", "2026-04-01 00:00"),
        ("0 9-17/4 * * mon-fri", "2026-03-03 13:00"),
        ("0 0 * jan,FEB *", "2027-01-01 00:00"),
        ("0 0 13 * fri", "2026-03-06 00:00"),  # both narrowed: one is enough
        ("0 0 13 * *", "2026-03-13 00:00"),
        ("0 0 ? * sun", "2026-03-08 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@annually", "2027-01-01 00:00"),
        ("@monthly", "2026-04-01 00:00"),
        ("@weekly", "2026-03-08 00:00"),
        ("@daily", "2026-03-04 00:00"),
        ("@midnight", "2026-03-04 00:00"),
        ("@hourly", "2026-03-03 13:00"),
    ],
)
def test_when_it_is_due(schedule: str, due: str) -> None:
    assert cron.parse(schedule).after(NOON, UTC) == at(due)


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("", "expected exactly 5 fields, found 0: []"),
        ("* * * *", "expected exactly 5 fields, found 4"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", "failed to parse int from x: x"),
        ("-1 * * * *", "failed to parse int from : -1"),
        ("1,,2 * * * *", "failed to parse int from : "),
        ("@noon", "unrecognized descriptor: @noon"),
        ("@every x", "failed to parse duration @every x"),
        ("TZ=UTC * * * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
        ("0 0 30 2 *", "never comes"),
    ],
)
def test_what_is_no_schedule(schedule: str, why: str) -> None:
    with pytest.raises(cron.ScheduleError) as caught:
        cron.parse(schedule)
    assert why in str(caught.value)


def test_it_is_due_in_its_zone() -> None:
    assert cron.parse("0 9 * * *").after(NOON, BERLIN) == at("2026-03-04 09:00", BERLIN)


def test_a_time_that_the_clock_leaves_out_is_left_out() -> None:
    schedule = cron.parse("30 2 * * *")
    before = at("2026-03-28 12:00", BERLIN)
    assert schedule.after(before, BERLIN) == at("2026-03-30 02:30", BERLIN)
    assert schedule.latest(at("2026-03-29 12:00", BERLIN), BERLIN, before) is None


def test_a_time_that_the_clock_shows_twice_is_met_twice() -> None:
    schedule = cron.parse("30 2 * * *")
    first = schedule.after(at("2026-10-24 12:00", BERLIN), BERLIN)
    assert first == at("2026-10-25 02:30", BERLIN)
    assert schedule.after(first, BERLIN) == first + 3600
    assert schedule.after(first + 3600, BERLIN) == at("2026-10-26 02:30", BERLIN)


def test_every_so_often() -> None:
    schedule = cron.parse("@every 1h30m")
    assert schedule.after(100, UTC) == 100 + 5400
    assert schedule.latest(100 + 5400 * 2.5, UTC, 100) == 100 + 5400 * 2
    assert schedule.latest(200, UTC, 100) is None


FIELD = st.one_of(
    st.just("*"),
    st.integers(0, 6).map(str),
    st.integers(2, 9).map(lambda step: f"*/{step}"),
    st.tuples(st.integers(0, 3), st.integers(3, 6)).map(lambda span: f"{span[0]}-{span[1]}"),
)


@settings(max_examples=80, deadline=None)
@given(
    minute=FIELD,
    hour=FIELD,
    weekday=FIELD,
    start=st.integers(1_767_225_600, 1_798_761_600),
    zone=st.sampled_from([UTC, BERLIN, ZoneInfo("America/St_Johns"), ZoneInfo("Asia/Kathmandu")]),
)
def test_forward_and_backward_agree_with_looking_at_every_minute(
    minute: str, hour: str, weekday: str, start: int, zone: ZoneInfo
) -> None:
    schedule = cron.parse(f"{minute} {hour} * * {weekday}")

    def fits(moment: float) -> bool:
        local = datetime.fromtimestamp(moment, zone)
        return (
            local.minute in schedule.minutes
            and local.hour in schedule.hours
            and local.isoweekday() % 7 in schedule.weekdays
        )

    minutes = range(start // 60 * 60 + 60, start + 9 * 86400, 60)
    expected = next((moment for moment in minutes if fits(moment)), None)
    found = schedule.after(start, zone)
    assert found == expected or (expected is None and (found is None or found >= minutes[-1]))
    if expected is not None:
        assert schedule.latest(expected, zone, start) == expected
        assert schedule.latest(expected + 59, zone, start) == expected
        assert schedule.latest(expected - 1, zone, start) is None
