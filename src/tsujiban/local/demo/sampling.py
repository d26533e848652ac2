"""A connection watched from inside a pod, sample by sample, while other things happen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tsujiban.local.demo.hands import DemoError, script_command
from tsujiban.local.demo.world import World

Json = dict[str, Any]


class Sampler:
    """Runs `inside/sample.py` in a pod and collects what it prints."""

    def __init__(self, mode: str, method: str, url: str, body: str, interval: float, patience: float) -> None:
        """`mode` is `keep` (one connection) or `fresh` (one a sample); times in seconds."""
        self._arguments = (mode, method, url, body, str(interval), str(patience))
        self.samples: list[Json] = []

    @property
    def good(self) -> list[Json]:
        """Samples that were answered with 200."""
        return [sample for sample in self.samples if sample["status"] == 200]

    @property
    def ports(self) -> set[int]:
        """Local ports of the connections that were used."""
        return {sample["port"] for sample in self.samples if sample["port"]}

    @asynccontextmanager
    async def running(self, world: World, pod: Json) -> AsyncIterator[None]:
        """Sample from inside `pod`. Raises DemoError when sampling ended by itself."""
        entering = await world.entering(pod, script_command("sample", *self._arguments))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *entering.argv, stdin=pipe, stdout=pipe, env=entering.env
        )
        if process.stdin is None or process.stdout is None:
            raise DemoError("no pipes to the sampler")
        reading = asyncio.create_task(self._read(process.stdout))
        try:
            yield
            if process.returncode is not None or reading.done():
                raise DemoError(f"the sampler ended by itself ({process.returncode})")
        finally:
            process.stdin.close()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            await reading

    async def _read(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            self.samples.append(json.loads(line))
