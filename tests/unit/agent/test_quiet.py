from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tsujiban.agent import quiet
from tsujiban.agent.quiet import until_quiet
from tsujiban.proxy import sockdiag
from tsujiban.proxy.sockdiag import Traffic

IDLE = Traffic(frozenset({("a", "b", "ESTAB", "bytes_acked:1")}), queued=False)
MOVED = Traffic(frozenset({("a", "b", "ESTAB", "bytes_acked:2")}), queued=False)
FULL = Traffic(MOVED.moved, queued=True)
NOTHING = Traffic(frozenset(), queued=False)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[bool, int]]:
    """What comes of these looks (an OSError is raised), and how many were taken; the last one stays."""
    monkeypatch.setattr(quiet, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(quiet, "QUIET_SECONDS", 0.003)
    monkeypatch.setattr(quiet, "PATIENCE_SECONDS", 0.008)

    def run(*looks: Traffic | OSError, left: Callable[[], float] = lambda: 60.0) -> tuple[bool, int]:
        taken = 0

        def all_looks() -> Iterator[Traffic | OSError]:
            yield from looks
            while True:
                yield looks[-1]

        seen = all_looks()

        def traffic(_namespace: str) -> Traffic:
            nonlocal taken
            taken += 1
            found = next(seen)
            if isinstance(found, OSError):
                raise found
            return found

        monkeypatch.setattr(sockdiag, "traffic", traffic)
        return asyncio.run(until_quiet("/run/netns/x", left)), taken

    return run


def test_without_connections_there_is_nothing_to_wait_for(waits: Callable[..., tuple[bool, int]]) -> None:
    assert waits(NOTHING) == (True, 1)
    assert waits(OSError("it is gone")) == (True, 1)


def test_it_is_quiet_when_nothing_has_moved_for_a_while(waits: Callable[..., tuple[bool, int]]) -> None:
    assert waits(IDLE) == (True, 4)
    assert waits(IDLE, IDLE, MOVED) == (True, 6)


def test_bytes_that_wait_are_waited_for_though_nothing_moves(waits: Callable[..., tuple[bool, int]]) -> None:
    assert waits(FULL, FULL, FULL, FULL, FULL, NOTHING) == (True, 6)
    assert waits(*[FULL] * 5, MOVED) == (True, 9)


def test_bytes_that_nobody_takes_are_not_waited_for_without_end(
    waits: Callable[..., tuple[bool, int]],
) -> None:
    assert waits(FULL) == (False, 9)


def test_no_longer_than_there_is_time(waits: Callable[..., tuple[bool, int]]) -> None:
    times = iter((1.0, 1.0, 0.0))
    assert waits(FULL, left=lambda: next(times)) == (False, 3)
    assert waits(IDLE, left=lambda: 0.0) == (True, 1)
