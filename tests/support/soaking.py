"""What `make soak` asks of the tests that it repeats, and what they tell it, world by world.

It names a file (TSUJIBAN_SOAK_REPORT); each world adds a line to it: how many flows were compared, or what
differed, at once: the search for a smaller world takes minutes, and may be cut short.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPORT = os.environ.get("TSUJIBAN_SOAK_REPORT", "")
DIFFERS = "differs"  # begins the line of a world in which something differed
_MOST = 2000  # characters of what differed

# Seconds that one test may take. None in a soak, which ends itself: pytest's alarm would go off inside some
# world, and hypothesis would take that for a difference, and look for a smaller world that shows it.
SECONDS = 0 if REPORT else 3600


@dataclass
class Compared:
    """One world."""

    flows: int = 0


def worlds(otherwise: int) -> int:
    """How many worlds to try (TSUJIBAN_SOAK); `otherwise` when this is no soak."""
    return int(os.environ.get("TSUJIBAN_SOAK", otherwise))


@contextmanager
def world(room: str) -> Iterator[Compared]:
    """Compare one world; the caller counts its flows. What is raised in it goes on, when it has been told."""
    compared = Compared()
    try:
        yield compared
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        _tell(f"{DIFFERS} {room} {text[:_MOST]}")
        raise
    _tell(f"{room} {compared.flows}")


def _tell(line: str) -> None:
    if REPORT:
        with Path(REPORT).open("a") as report:
            report.write(line + "\n")
