from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.apibed import ApiBed, api_bed
from tests.support.wait import PATIENCE


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[ApiBed]:
    """A server in a thread of its own, for clients that are other programs."""
    loop = asyncio.new_event_loop()
    ready: asyncio.Future[ApiBed] = loop.create_future()
    stop = asyncio.Event()

    async def serve() -> None:
        async with api_bed(tmp_path / "bed") as found:
            ready.set_result(found)
            started.set()
            await stop.wait()

    started = threading.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert started.wait(PATIENCE)
        yield ready.result()
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        loop.close()
