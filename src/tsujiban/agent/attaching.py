"""A client attached to a container's own standard input or terminal, over a session.

What is typed goes to the container's shim (`agent.shim`), which the supervisor runs and which outlives this
agent; what the container says comes from its log. A client that leaves is told to the shim; an agent or a
controller that ends is not, so the container does not take that for the end of its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from tsujiban.agent import shim
from tsujiban.agent.execution import MAX_SIZE, Peer
from tsujiban.agent.podlogs import PodLog
from tsujiban.wire.sessions import STDIN, STDOUT, Data, End, Exit, Resize
from tsujiban.wire.transport import StreamLost

FOLLOW_SECONDS = 0.1  # between looks at the log of a container without a terminal
FAREWELL_SECONDS = 10.0  # for a container that reads nothing, when its client has left


async def connect(path: Path) -> tuple[socket.socket, bytes]:
    """The shim's socket, and what it says first: `shim.OPEN`, `CLOSED` or `BUSY`. Raises OSError."""
    place = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            # the path itself may be longer than the address of a socket
            client.connect(f"/proc/self/fd/{place}/{path.name}")
            return client, await loop.sock_recv(client, 1)
        except BaseException:
            client.close()
            raise
    finally:
        os.close(place)


async def run(peer: Peer, client: socket.socket, reading: PodLog, *, stdin: bool) -> None:
    """Until the container or the client ends. Whatever ends the session early is raised, and OSError."""
    hearing = asyncio.ensure_future(_hear(peer, client, stdin))
    speaking = asyncio.ensure_future(_speak(peer, client, reading))
    over = asyncio.ensure_future(peer.over())
    try:
        either: set[asyncio.Future[None]] = {hearing, speaking, over}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if speaking.done():
            speaking.result()
            return
        if hearing.done():
            with contextlib.suppress(StreamLost):  # also when the client has left, of which `over` tells
                hearing.result()
        await over
    finally:
        for task in (hearing, speaking, over):
            task.cancel()
        await asyncio.gather(hearing, speaking, over, return_exceptions=True)
    if stdin:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await _send(client, shim.END)
    raise StreamLost("the client has left")


async def _hear(peer: Peer, client: socket.socket, stdin: bool) -> None:
    """Pass on what the client types, until the session is over (which is raised)."""
    while True:
        frame = await peer.next()
        if isinstance(frame, Resize):
            size = (min(max(number, 0), MAX_SIZE) for number in (frame.rows, frame.columns))
            await _send(client, shim.SIZE + shim.DIMENSIONS.pack(*size))
        elif frame.channel != STDIN or not stdin:
            continue
        elif isinstance(frame, End):
            await _send(client, shim.END)
        else:
            for start in range(0, len(frame.data), shim.MAX_INPUT):
                await _send(client, shim.INPUT + frame.data[start : start + shim.MAX_INPUT])


async def _send(client: socket.socket, message: bytes) -> None:
    """Returns when there is room for it; it is lost when the container has ended."""
    with contextlib.suppress(ConnectionError):
        await asyncio.get_running_loop().sock_sendall(client, message)


async def _speak(peer: Peer, client: socket.socket, reading: PodLog) -> None:
    """Pass on what the container says, to its end."""
    loop = asyncio.get_running_loop()
    listening = asyncio.ensure_future(loop.sock_recv(client, 1))
    try:
        while True:
            await _tell(peer, reading)
            await asyncio.wait({listening}, timeout=FOLLOW_SECONDS)
            if listening.done():
                if not _there(listening):
                    break
                listening = asyncio.ensure_future(loop.sock_recv(client, 1))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    await _tell(peer, reading)
    await peer.send(Exit())


def _there(listening: asyncio.Future[bytes]) -> bool:
    try:
        return bool(listening.result())
    except ConnectionError:
        return False


async def _tell(peer: Peer, reading: PodLog) -> None:
    for data in reading.news():
        await peer.send(Data(channel=STDOUT, data=data))
