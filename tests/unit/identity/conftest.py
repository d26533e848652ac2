"""One certificate authority for all tests of this room that do not change it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.pki import Pki


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)
