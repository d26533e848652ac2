"""When a test fails, its report says what the local clusters of that moment were waiting for. A run that
leaves processes behind fails, too."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.support import witness

from tsujiban.supervise import procfs

_ran = False  # whether any test of this folder has been run by this process


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Ask them before any fixture takes them down."""
    report = yield
    if report.failed:
        report.sections += [(f"cluster {name}", text) for name, text in witness.accounts()]
    return report


def pytest_runtest_setup() -> None:
    global _ran  # pytest's hooks have nothing else in common
    _ran = True


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Whatever a test has started ends with it, or with its fixture."""
    running = procfs.processes() if _ran else []
    mine = [one for one in running if one.parent == os.getpid() and one.state not in "ZX"]
    for one in mine:
        words = Path(f"/proc/{one.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        print(f"\nleft behind: process {one.pid}: {words[:400]}", file=sys.stderr)
    if mine:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
