"""`python -m tsujiban.agent --config FILE`: the node process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import msgspec

from tsujiban.agent.config import load
from tsujiban.agent.join import JoinError
from tsujiban.agent.node import Agent
from tsujiban.logs import configure


def main() -> int:
    """Run until told to stop; 1 when it cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m tsujiban.agent")
    parser.add_argument("--config", type=Path, required=True, help="configuration file (JSON)")
    options = parser.parse_args()
    configure()
    try:
        config = load(options.config)
    except (OSError, msgspec.MsgspecError) as error:
        print(f"{options.config}: {error}", file=sys.stderr)
        return 1
    try:
        asyncio.run(_run(Agent(config)))
    except JoinError as error:
        print(f"cannot join: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(agent: Agent) -> None:
    task = asyncio.create_task(agent.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    sys.exit(main())
