"""Waiting for a condition: polled, with a deadline. No sleep ever stands for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_SECONDS = 0.02


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` came true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
