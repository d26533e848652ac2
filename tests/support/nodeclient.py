"""A node's link as a process of its own, so that it can live in a network namespace.

    python -m tests.support.nodeclient DIRECTORY NODE HOST PORT SERVER-NAME

Uses the credentials in DIRECTORY/NODE; prints a line per change: "connected", "lost". Pings are
quick, so that a test need not wait long for silence to be noticed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.nodestream import hello

from tsujiban.agent.link import ControllerLink
from tsujiban.wire import transport


async def main() -> None:
    """Stay connected until killed."""
    directory, node, host, port, server_name = sys.argv[1:]
    quick_pings()
    link = ControllerLink(
        [(host, int(port))], node, Path(directory) / node, lambda: hello(node), server_name=server_name
    )
    running = asyncio.create_task(link.run())
    said = False
    while not running.done():
        if link.connected is not said:
            said = link.connected
            print("connected" if said else "lost", flush=True)
        await asyncio.sleep(0.01)
    running.result()


def quick_pings() -> None:
    """Notice silence within about two seconds."""
    transport.PING_INTERVAL = 0.5
    transport.PING_TIMEOUT = 1.0
    transport.WATCH_INTERVAL = 0.1
    transport.CONNECT_TIMEOUT = 4.0


if __name__ == "__main__":
    asyncio.run(main())
