from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.support.apibed import ApiBed, api_bed


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[ApiBed]:
    async with api_bed(tmp_path / "bed") as found:
        yield found


@pytest.fixture
async def admin(bed: ApiBed) -> AsyncIterator[httpx.AsyncClient]:
    async with bed.client(bed.user()) as client:
        yield client
