"""An Envoy is old when a newer one has been beside it, whoever has connected last."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.support.wait import PATIENCE

from tsujiban.proxy.generations import Generations
from tsujiban.supervise import procfs

TICK = 1 / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three, started one after the other."""
    made: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(3):
            made.append(subprocess.Popen(["sleep", "3600"]))
            started = procfs.stat(made[-1].pid)
            assert started is not None
            while time.clock_gettime(time.CLOCK_BOOTTIME) < (started.start_ticks + 1) * TICK:
                time.sleep(TICK / 10)
        yield made
    finally:
        for one in made:
            one.kill()
            one.wait()


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def test_nobody_yet() -> None:
    generations = Generations()
    assert (generations.newest, generations.succeeded) == (0, ())
    generations.add(2**22 + 1)  # above pid_max: it is gone
    assert (generations.newest, generations.succeeded) == (0, ())


def test_the_last_one_that_was_started_is_the_newest_in_whatever_order_they_connect(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    first, second, _ = processes
    generations = Generations()
    generations.add(second.pid)
    assert not generations.succeeded
    generations.add(first.pid)
    assert (generations.newest, *generations.succeeded) == (second.pid, first.pid)
    generations.end_old()
    assert first.wait(PATIENCE) == -15
    assert second.poll() is None
    assert (generations.newest, *generations.succeeded) == (second.pid,)


def test_an_old_one_stays_old_when_the_new_one_fails(processes: list[subprocess.Popen[bytes]]) -> None:
    first, second, third = processes
    generations = Generations()
    generations.add(first.pid)
    generations.add(second.pid)
    end(second)
    assert (generations.newest, generations.succeeded) == (first.pid, (first.pid,))
    generations.add(third.pid)
    assert (generations.newest, generations.succeeded) == (third.pid, (first.pid,))


def test_one_that_has_ended_and_was_not_reaped_is_gone(processes: list[subprocess.Popen[bytes]]) -> None:
    generations = Generations()
    generations.add(processes[0].pid)
    processes[0].kill()
    os.waitid(os.P_PID, processes[0].pid, os.WEXITED | os.WNOWAIT)
    assert generations.newest == 0
