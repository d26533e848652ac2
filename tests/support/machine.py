"""A supervisor, a fabric and waiting, for tests that make real namespaces; all of it cleaned up."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.wait import PATIENCE

from tsujiban.local.fabric import Fabric


def unique_cluster() -> str:
    """A cluster name that nobody else has."""
    return "t" + uuid.uuid4().hex[:12]


@contextmanager
def supervisor() -> Iterator[tuple[Path, Path]]:
    """A running supervisor: (socket, run directory). All its processes end with it."""
    run_dir = Path(tempfile.mkdtemp(prefix="tsujiban-test-"))
    socket = run_dir / "s"
    argv = [sys.executable, "-m", "tsujiban.supervise", "--socket", str(socket), "--run-dir", str(run_dir)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, umask=0o077)  # the strictest caller
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield socket, run_dir
    finally:
        process.terminate()
        process.wait(PATIENCE)
        shutil.rmtree(run_dir, ignore_errors=True)


@contextmanager
def fabric(nodes: int = 0) -> Iterator[Fabric]:
    """A fabric with `nodes` nodes (node-1, ...); its namespaces are removed, also those of its pods."""
    made = Fabric(unique_cluster())
    try:
        made.create()
        for number in range(1, nodes + 1):
            made.add_node(f"node-{number}", number)
        yield made
    finally:
        made.destroy()


def run(*argv: str, timeout: float = PATIENCE) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def ip(namespace: str, *argv: str) -> str:
    """`ip` inside a named namespace."""
    return run("ip", "-n", namespace, *argv)


async def until_async(condition: Callable[[], Awaitable[bool]], seconds: float = PATIENCE) -> None:
    """As `wait.until`, for a condition that must be asked for. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # what is asked signals no event
            await asyncio.sleep(0.01)
