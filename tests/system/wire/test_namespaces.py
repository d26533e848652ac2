"""The node stream between real network namespaces: a listener opened in one of them by a process
outside, a node in another, and a cable that is cut without a word and mended."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pyroute2 import netns
from tests.support.nodeclient import quick_pings
from tests.support.nodestream import Controller
from tests.support.pki import Pki
from tests.support.wait import PATIENCE, until

from tsujiban.wire import transport

pytestmark = pytest.mark.system

CONTROLLER, NODE = "198.18.7.1", "198.18.7.2"  # RFC 2544: for tests
PORT = 7443


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def cable() -> Iterator[tuple[str, str]]:
    """Two namespaces joined by a veth pair (`c` in the first, `n` in the second)."""
    tag = secrets.token_hex(4)
    first, second = f"tsjt-{tag}-c", f"tsjt-{tag}-n"
    made = []
    try:
        for name in (first, second):
            ip("netns", "add", name)
            made.append(name)
        ip("-n", first, "link", "add", "c", "type", "veth", "peer", "name", "n", "netns", second)
        for name, link, address in ((first, "c", CONTROLLER), (second, "n", NODE)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", link)
            ip("-n", name, "link", "set", "dev", link, "up")
        yield first, second
    finally:
        for name in made:
            ip("netns", "delete", name)


def listener_in(namespace: str) -> socket.socket:
    """A listening socket that belongs to another namespace, whoever serves it."""
    opened: list[socket.socket] = []

    def enter() -> None:
        netns.setns(namespace)  # this thread's only; it ends with it
        opened.append(socket.create_server((CONTROLLER, PORT)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return opened[0]


@asynccontextmanager
async def node_in(namespace: str, pki: Pki, node: str) -> AsyncIterator[asyncio.StreamReader]:
    """A node's link inside a namespace; what it prints."""
    pki.node(node)
    arguments = [sys.executable, "-m", "tests.support.nodeclient"]
    arguments += [str(pki.directory), node, CONTROLLER, str(PORT), "localhost"]
    process = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", namespace, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def line(lines: asyncio.StreamReader, expected: str) -> None:
    """Wait for a line. There may be others: the link's log, and that it took a moment in which an end had no
    processor for a silence."""
    async with asyncio.timeout(PATIENCE):
        while (text := (await lines.readline()).decode().strip()) != expected:
            assert text, "the node's link has ended"


def test_cut_and_mended(cable: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PING_INTERVAL", "PING_TIMEOUT", "WATCH_INTERVAL", "CONNECT_TIMEOUT"):
        monkeypatch.setattr(transport, name, getattr(transport, name))  # put back what comes next
    quick_pings()
    first, second = cable
    pki = Pki(tmp_path)

    async def main() -> None:
        running = Controller(pki)
        running.make_listener = lambda: listener_in(first)
        await running.start()
        try:
            async with node_in(second, pki, "node-1") as lines:
                await line(lines, "connected")
                await until(lambda: running.server.nodes() == {"node-1"})
                ip("-n", first, "link", "set", "dev", "c", "down")
                await line(lines, "lost")
                await until(lambda: not running.server.nodes())
                ip("-n", first, "link", "set", "dev", "c", "up")
                await line(lines, "connected")
                await until(lambda: running.server.nodes() == {"node-1"})
            assert running.events[:3] == [("hello", "node-1"), ("gone", "node-1"), ("hello", "node-1")]
        finally:
            await running.stop()

    before = os.stat("/proc/self/ns/net").st_ino
    asyncio.run(main())
    assert os.stat("/proc/self/ns/net").st_ino == before  # the server never left its own namespace
