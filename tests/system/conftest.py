"""When a test fails, its report says what the local clusters of that moment were waiting for."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from tests.support import witness


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Ask them before any fixture takes them down."""
    report = yield
    if report.failed:
        report.sections += [(f"cluster {name}", text) for name, text in witness.accounts()]
    return report
