"""Times in words: how old an object is, when a certificate ends."""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """`42s`, `3m10s`, `5h`, `12d`: two units at most, as kubectl writes it."""
    whole = max(0, int(seconds))
    if whole < 2 * MINUTE:
        return f"{whole}s"
    if whole < 10 * MINUTE:
        return f"{whole // MINUTE}m" + (f"{whole % MINUTE}s" if whole % MINUTE else "")
    if whole < 3 * HOUR:
        return f"{whole // MINUTE}m"
    if whole < 8 * HOUR:
        return f"{whole // HOUR}h" + (f"{whole % HOUR // MINUTE}m" if whole % HOUR // MINUTE else "")
    if whole < 2 * DAY:
        return f"{whole // HOUR}h"
    return f"{whole // DAY}d"


def age(timestamp: str, now: float) -> str:
    """Age of an RFC 3339 time at `now` (UNIX seconds); `<unknown>` when there is none."""
    try:
        then = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    except ValueError:
        return "<unknown>"
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return duration(now - then.timestamp())
