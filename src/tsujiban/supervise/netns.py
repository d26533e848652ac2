"""Entering a network namespace from Python 3.11, which has no `os.setns`.

A namespace belongs to a thread: the call runs in a thread of its own that ends with it, so the
process as a whole never leaves its namespace, and a socket made there stays there.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

CLONE_NEWNET = 0x40000000
NETNS_DIR = Path("/run/netns")

T = TypeVar("T")


def namespace_path(name: str) -> str:
    """Path of a named network namespace, as `ip netns` keeps them."""
    return str(NETNS_DIR / name)


def enter(path: str) -> None:
    """Move the calling thread into the network namespace at `path`. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"cannot enter network namespace: {os.strerror(code)}", path)
    finally:
        os.close(descriptor)


def call_in(path: str, function: Callable[[], T]) -> T:
    """Run `function` in a thread inside the namespace at `path` and return what it returns.

    Raises OSError when the namespace cannot be entered, and whatever `function` raises. Blocks
    the caller: from asyncio, call it through `asyncio.to_thread`.
    """

    def run() -> T:
        enter(path)
        return function()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns") as thread:
        return thread.submit(run).result()


def listens_on(path: str, port: int) -> bool:
    """Whether some TCP socket listens on `port` in the namespace at `path`. Raises OSError. Blocks.

    Source: proc_pid_net(5); state 0A is LISTEN."""

    def tables() -> list[str]:
        return [Path("/proc/thread-self/net", name).read_text() for name in ("tcp", "tcp6")]

    rows = (row.split() for table in call_in(path, tables) for row in table.splitlines()[1:])
    return any(row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port for row in rows)


def split_address(address: str) -> tuple[str, int]:
    """("::1", 80) of "[::1]:80". Raises ValueError."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{address!r} is not ADDRESS:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{address!r}: write an IPv6 address in brackets")
    return host, int(port)


def open_listener(netns: str, address: str, backlog: int = 512) -> socket.socket:
    """A listening TCP socket at `address` ("10.0.0.1:443") inside the namespace at path `netns`.

    "" stands for the caller's own namespace. Raises OSError (say, address in use), ValueError.
    """
    host, port = split_address(address)

    def listen() -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=backlog)

    return call_in(netns, listen) if netns else listen()
