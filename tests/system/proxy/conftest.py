from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.proxybed import Bed


@pytest.fixture
def bed() -> Iterator[Bed]:
    # Not pytest's tmp_path: its directories are closed to the sidecars' users.
    directory = Path(tempfile.mkdtemp(prefix="tsujiban-proxy-"))
    directory.chmod(0o755)
    one = Bed(directory)
    try:
        yield one
    finally:
        one.close()
