"""Schedules of five fields as CronJobs write them, and when they are due. Pure.

The grammar is that of the library which Kubernetes' own controller uses: lists, ranges, steps, names of
months and days, `?` for `*`, macros (`@daily`), `@every 90m`. A day must fit its month's day and its weekday;
when both are narrowed one of them is enough. A schedule is asked in some time zone; times that a clock leaves
out in spring are left out, those that it shows twice in autumn are met twice.
Source: Kubernetes documentation, "CronJob", "Schedule syntax"; github.com/robfig/cron, package documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_LONGEST = 1024
_YEARS = 5  # after which a schedule that has not come never comes (30 February)


class ScheduleError(ValueError):
    """Not a schedule; says why."""


class _Field(NamedTuple):
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field(0, 59),
    _Field(0, 23),
    _Field(1, 31),
    _Field(1, 12, _MONTHS),
    _Field(0, 6, _DAYS),
)


class Schedule(NamedTuple):
    """When something is due; `every` seconds, or else when all fields fit."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = False  # one of the two fields for days is `*`: both must fit
    every: int = 0

    def after(self, moment: float, zone: tzinfo) -> float | None:
        """The first time after a moment, UNIX seconds; None when there is none for years."""
        if self.every:
            return moment + self.every
        return self._seek(moment // 60 * 60 + 60, zone, _following, forward=True)

    def latest(self, moment: float, zone: tzinfo, since: float) -> float | None:
        """The last time up to a moment and after `since`; None when there is none."""
        if self.every:
            times = (moment - since) // self.every
            return since + times * self.every if times > 0 else None
        found = self._seek(moment // 60 * 60, zone, _preceding, forward=False)
        return found if found is not None and found > since else None

    def _seek(
        self, moment: float, zone: tzinfo, skip: Callable[[datetime, str], float], *, forward: bool
    ) -> float | None:
        end = moment + (1 if forward else -1) * _YEARS * 366 * 86400
        while (moment < end) is forward:
            local = datetime.fromtimestamp(moment, zone)
            if local.month not in self.months:
                moment = skip(local, "month")
            elif not self._fits_day(local):
                moment = skip(local, "day")
            elif local.hour not in self.hours:
                moment = skip(local, "hour")
            elif local.minute not in self.minutes:
                moment = skip(local, "minute")
            else:
                return moment
        return None

    def _fits_day(self, local: datetime) -> bool:
        day, weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return (day and weekday) if self.any_day else (day or weekday)


def _following(local: datetime, unit: str) -> float:
    """The beginning of the next month, day, hour or minute."""
    now = local.timestamp()
    if unit == "minute":
        return now + 60
    if unit == "hour":
        return now + (60 - local.minute) * 60
    start = local.replace(hour=0, minute=0, fold=0)
    if unit == "month":
        start = (start.replace(day=28) + timedelta(days=4)).replace(day=1)
    else:
        start += timedelta(days=1)
    return max(start.timestamp(), now + 60)


def _preceding(local: datetime, unit: str) -> float:
    """The last minute of the month, day, hour or minute before."""
    now = local.timestamp()
    if unit == "minute":
        return now - 60
    if unit == "hour":
        return now - (local.minute + 1) * 60
    start = local.replace(hour=0, minute=0, fold=0)
    if unit == "month":
        start = start.replace(day=1)
    return min(start.timestamp(), now) - 60


@lru_cache(1024)
def parse(text: str) -> Schedule:
    """A schedule. Raises ScheduleError."""
    if len(text) > _LONGEST:
        raise ScheduleError(f"more than {_LONGEST} characters")
    text = text.strip()
    if text.startswith(("TZ=", "CRON_TZ=")):
        raise ScheduleError("cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    if text.startswith("@every "):
        return Schedule(every=_seconds(text.removeprefix("@every ").strip()))
    if text.startswith("@"):
        if text not in _MACROS:
            raise ScheduleError(f"unrecognized descriptor: {text}")
        text = _MACROS[text]
    words = text.split()
    if len(words) != len(_FIELDS):
        raise ScheduleError(f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]")
    sets, stars = zip(*(_field(word, of) for word, of in zip(words, _FIELDS, strict=True)), strict=True)
    minutes, hours, days, months, weekdays = sets
    schedule = Schedule(minutes, hours, days, months, weekdays, any_day=stars[2] or stars[4])
    if schedule.after(0.0, UTC) is None:
        raise ScheduleError(f"{text} never comes")
    return schedule


def _field(word: str, of: _Field) -> tuple[frozenset[int], bool]:
    """The values of a field, and whether it leaves them open."""
    values: set[int] = set()
    star = False
    for part in word.split(","):
        span, slash, step_text = part.partition("/")
        first_text, dash, last_text = span.partition("-")
        if span in ("*", "?"):
            first, last = of.low, of.high
        else:
            first = _number(first_text, of, part)
            last = _number(last_text, of, part) if dash else of.high if slash else first
        step = _digits(step_text, part) if slash else 1
        if first < of.low:
            raise ScheduleError(f"beginning of range ({first}) below minimum ({of.low}): {part}")
        if last > of.high:
            raise ScheduleError(f"end of range ({last}) above maximum ({of.high}): {part}")
        if first > last:
            raise ScheduleError(f"beginning of range ({first}) beyond end of range ({last}): {part}")
        if not step:
            raise ScheduleError(f"step of range should be a positive number: {part}")
        values.update(range(first, last + 1, step))
        star |= span in ("*", "?") and step == 1
    return frozenset(values), star


def _number(text: str, of: _Field, part: str) -> int:
    if text.lower() in of.names:
        return of.names.index(text.lower()) + of.low
    return _digits(text, part)


def _digits(text: str, part: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ScheduleError(f"failed to parse int from {text}: {part}")
    return int(text)


def _seconds(text: str) -> int:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ScheduleError(f"failed to parse duration @every {text}")
    return max(1, int(sum(float(number) * _UNITS[unit] for number, unit in parts)))
