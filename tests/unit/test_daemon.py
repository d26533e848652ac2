"""A daemon ends when it is told to, cleans up, and logs lines that a machine can read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from tests.support.wait import PATIENCE

PROGRAM = """
import asyncio, structlog
from tsujiban import daemon

async def work():
    structlog.get_logger().info("working", answer=42)
    try:
        await asyncio.Event().wait()
    finally:
        print("cleaned up", flush=True)

daemon.log_to_stderr()
print("ready", flush=True)
daemon.run(work())
"""


def test_a_signal_ends_it_in_order() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "ready\n"
        said = json.loads(child.stderr.readline())
        assert (said["event"], said["answer"], said["level"]) == ("working", 42, "info")
        os.kill(child.pid, number)
        assert child.wait(PATIENCE) == 0
        assert child.stdout.read() == "cleaned up\n"
        child.stdout.close()
        child.stderr.close()
