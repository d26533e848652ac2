"""One forwarded connection: from a session to a port, beginning inside the pod's network namespace.

So it is subject to what the pod is subject to: from the pod's own loopback address to a port of the pod it
passes no policy; to any other address it leaves through the pod's sidecar, under the pod's identity.
"""

from __future__ import annotations

import asyncio
import socket

from tsujiban.agent.execution import Peer
from tsujiban.supervise.netns import call_in
from tsujiban.wire.sessions import MAX_DATA, STDIN, STDOUT, Data, End, Exit, ForwardAsk, Resize

CONNECT_SECONDS = 10.0
LOOPBACK = ("127.0.0.1", "::1")


async def run(peer: Peer, netns_path: str, ask: ForwardAsk) -> None:
    """Until both sides have ended, or the session is over (which is raised)."""
    try:
        connection = await asyncio.to_thread(_connect, netns_path, ask)
    except OSError as error:
        where = f"{ask.host or 'localhost'}:{ask.port}"
        await peer.send(Exit(code=1, error=f"cannot connect to {where} inside the pod: {error}"))
        return
    reader, writer = await asyncio.open_connection(sock=connection, limit=MAX_DATA)
    sending = asyncio.ensure_future(_from_pod(peer, reader))
    hearing = asyncio.ensure_future(_to_pod(peer, writer))
    try:
        done, _ = await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
        if hearing in done and hearing.exception() is not None:
            hearing.result()  # the session is over
        await sending
        await peer.send(Exit())
    finally:
        for task in (sending, hearing):
            task.cancel()
        await asyncio.gather(sending, hearing, return_exceptions=True)
        writer.close()


def _connect(netns_path: str, ask: ForwardAsk) -> socket.socket:
    """To the address asked for; to the loopback, IPv4 goes first. Raises OSError."""

    def connect(host: str) -> socket.socket:
        return call_in(netns_path, lambda: socket.create_connection((host, ask.port), CONNECT_SECONDS))

    if ask.host:
        return connect(ask.host)
    try:
        return connect(LOOPBACK[0])
    except OSError:
        try:
            return connect(LOOPBACK[1])
        except OSError:
            pass
        raise


async def _from_pod(peer: Peer, reader: asyncio.StreamReader) -> None:
    try:
        while data := await reader.read(MAX_DATA):
            await peer.send(Data(channel=STDOUT, data=data))
    except ConnectionError:
        pass  # reset by the program: an end like another
    await peer.send(End(channel=STDOUT))


async def _to_pod(peer: Peer, writer: asyncio.StreamWriter) -> None:
    """Returns when the client sends no more."""
    while True:
        frame = await peer.next()
        try:
            if isinstance(frame, End):
                if writer.can_write_eof():
                    writer.write_eof()
            elif not isinstance(frame, Resize) and frame.channel == STDIN:
                writer.write(frame.data)
                await writer.drain()
        except ConnectionError:
            continue  # the other direction tells of it
