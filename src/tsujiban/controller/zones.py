"""Time zones by name, from the machine's database, or the one that comes with us."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, tzinfo
from functools import lru_cache

_LONGEST = 64  # of names


def zone(name: str | None) -> tzinfo | None:
    """A zone of the IANA database; UTC when none is named; None when there is none of that name."""
    if not name:
        return UTC
    return _known(name) if len(name) <= _LONGEST else None


@lru_cache(256)
def _known(name: str) -> tzinfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
