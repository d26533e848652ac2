from __future__ import annotations

import asyncio

import pytest
from tests.support.wait import PATIENCE

from tsujiban.wire.together import all_ended, first_failure

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_first_failure_ends_all_and_is_raised_bare() -> None:
    cancelled: list[str] = []

    async def wait(name: str) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(name)
            raise

    async def fail() -> None:
        raise OSError("this one")

    with pytest.raises(OSError, match="this one"):
        await first_failure(wait("a"), fail(), wait("b"))
    assert cancelled == ["a", "b"]


async def test_one_that_ends_well_ends_all() -> None:
    async def done() -> None:
        return

    async with asyncio.timeout(PATIENCE):
        await first_failure(asyncio.sleep(1000), done())


async def test_a_failure_is_raised_when_all_have_ended() -> None:
    go = asyncio.Event()
    done: list[str] = []

    async def work(name: str) -> None:
        await go.wait()
        done.append(name)

    async def fail() -> None:
        raise OSError("this one")

    running = asyncio.create_task(all_ended(work("a"), fail(), work("b")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    go.set()
    with pytest.raises(OSError, match="this one"):
        await running
    assert done == ["a", "b"]
