"""A command run in a container for somebody far away: its standard streams, or a terminal, over a session.

The command has the rights of the container and no more (`sandbox.exec_command`). It is killed when the
session ends, and when the agent does.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import Callable
from typing import IO, Any, Protocol

from tsujiban.agent.sandbox import Command
from tsujiban.wire.sessions import (
    MAX_DATA,
    STDERR,
    STDIN,
    STDOUT,
    Data,
    End,
    ExecAsk,
    Exit,
    FromSession,
    Resize,
    ToSession,
)
from tsujiban.wire.transport import StreamLost

LINGER_SECONDS = 1.0  # a child of an ended command may hold its output open: for so long it is listened to
TERMINAL_SECONDS = 10.0
END_OF_FILE = b"\x04"  # what a terminal takes for the end of input
MAX_SIZE = 0xFFFF


class Peer(Protocol):
    """The session's stream: `wire.transport.ClientSession` is one."""

    async def send(self, message: FromSession) -> None:
        """Waits until there is room."""

    async def next(self) -> ToSession:
        """The next frame; raises when the session is over."""

    async def over(self) -> None:
        """Returns when the client has left, also while nobody reads; raises when the stream was lost, which
        says nothing of the client."""


async def run(peer: Peer, command: Command, ask: ExecAsk) -> None:
    """Run it to its end, and say how it ended. Whatever ends the session kills it, and is raised."""
    child = _Terminal(command) if ask.tty else _Pipes(command, ask)
    try:
        outputs = await child.start()
        ended = asyncio.ensure_future(_exit(child.process))
        speaking = asyncio.gather(*(_pump(peer, channel, out, ended) for channel, out in outputs))
        hearing = asyncio.ensure_future(_hear(peer, child))
        over = asyncio.ensure_future(peer.over())  # of which `hearing` learns nothing while no input is taken
        try:
            either: set[asyncio.Future[Any]] = {speaking, hearing, over}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not speaking.done():
                (hearing if hearing.done() else over).result()
                raise StreamLost("the client has left")
            await speaking
            code = await ended
        finally:
            for task in (speaking, hearing, ended, over):
                task.cancel()
            await asyncio.gather(speaking, hearing, ended, over, return_exceptions=True)
        await peer.send(Exit(code=code if code >= 0 else 128 - code))
    finally:
        child.close()


def _spawn(command: Command, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    """From the main thread, for the command dies with the thread that starts it; a few milliseconds."""
    return subprocess.Popen(
        command.argv,
        env=command.env,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        bufsize=0,
    )


class _Pipes:
    """Without a terminal: three pipes."""

    process: subprocess.Popen[bytes]

    def __init__(self, command: Command, ask: ExecAsk) -> None:
        self._command = command
        self._with_input = ask.stdin
        self._input: asyncio.StreamWriter | None = None
        self._transports: list[asyncio.BaseTransport] = []

    async def start(self) -> list[tuple[int, asyncio.StreamReader]]:
        """Begin; the channels to listen to. Raises OSError."""
        given = subprocess.PIPE if self._with_input else subprocess.DEVNULL
        self.process = _spawn(self._command, given, subprocess.PIPE, subprocess.PIPE)
        if self.process.stdin is not None:
            self._input = await _writer(self.process.stdin, self._transports.append)
        return [
            (channel, await _reader(pipe, self._transports.append))
            for channel, pipe in ((STDOUT, self.process.stdout), (STDERR, self.process.stderr))
            if pipe is not None
        ]

    async def give(self, data: bytes) -> None:
        """To its standard input; lost when it does not read any more."""
        if self._input is not None:
            with contextlib.suppress(OSError):
                self._input.write(data)
                await self._input.drain()

    def finish(self) -> None:
        """Its standard input ends."""
        if self._input is not None:
            self._input.close()

    def resize(self, _size: Resize) -> None:
        """There is no terminal."""

    def close(self) -> None:
        """Kill what is left, and let go of the pipes."""
        _end(getattr(self, "process", None))
        for transport in self._transports:
            transport.close()


class _Terminal:
    """With a terminal of the container's own. Its first process opens it, and sends us the other end."""

    process: subprocess.Popen[bytes]

    def __init__(self, command: Command) -> None:
        self._command = command
        self._master = -1
        self._input: asyncio.StreamWriter | None = None
        self._transports: list[asyncio.BaseTransport] = []
        self._wanted: Resize | None = None

    async def start(self) -> list[tuple[int, asyncio.StreamReader]]:
        """Begin. Raises OSError."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self.process = _spawn(self._command, *(theirs.fileno(),) * 3)
            self._master = await _received(ours)
        if self._wanted is not None:
            self.resize(self._wanted)
        keep = self._transports.append
        self._input = await _writer(os.fdopen(os.dup(self._master), "wb", buffering=0), keep)
        return [(STDOUT, await _reader(os.fdopen(os.dup(self._master), "rb", buffering=0), keep))]

    async def give(self, data: bytes) -> None:
        """As typed."""
        if self._input is not None:
            with contextlib.suppress(OSError):
                self._input.write(data)
                await self._input.drain()

    def finish(self) -> None:
        """As ctrl-D."""
        if self._input is not None:
            self._input.write(END_OF_FILE)

    def resize(self, size: Resize) -> None:
        """The window has another size now."""
        if self._master < 0:
            self._wanted = size
            return
        rows, columns = (min(max(number, 0), MAX_SIZE) for number in (size.rows, size.columns))
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """Kill what is left, and let go of the terminal."""
        _end(getattr(self, "process", None))
        for transport in self._transports:
            transport.close()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1


async def _received(channel: socket.socket) -> int:
    """The terminal that the command's first process sends; what it says instead is raised as OSError."""
    loop = asyncio.get_running_loop()
    channel.setblocking(False)
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(channel, lambda: None if ready.done() else ready.set_result(None))
    try:
        async with asyncio.timeout(TERMINAL_SECONDS):
            await ready
    except TimeoutError:
        raise OSError("the container opened no terminal in time") from None
    finally:
        loop.remove_reader(channel)
    said, descriptors, _flags, _address = socket.recv_fds(channel, 4096, 1)
    if not descriptors:
        raise OSError(said.decode(errors="replace").strip() or "the container opened no terminal")
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


async def _reader(pipe: IO[bytes], keep: Callable[[asyncio.BaseTransport], None]) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=MAX_DATA)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    keep(transport)
    return reader


async def _writer(pipe: IO[bytes], keep: Callable[[asyncio.BaseTransport], None]) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    transport, _ = await loop.connect_write_pipe(lambda: protocol, pipe)
    keep(transport)
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def _exit(process: subprocess.Popen[bytes]) -> int:
    """How the process ends: its status, negative for a signal."""
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(process.pid)
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()


async def _pump(peer: Peer, channel: int, output: asyncio.StreamReader, ended: asyncio.Future[int]) -> None:
    """Pass output on to its end; when the command has ended, to where nothing has come for a while."""
    while True:
        reading = asyncio.ensure_future(_read(output))
        try:
            either: set[asyncio.Future[bytes] | asyncio.Future[int]] = {reading, ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await asyncio.wait({reading}, timeout=LINGER_SECONDS)
            data = reading.result() if reading.done() else b""
        finally:
            reading.cancel()
        if not data:
            break
        await peer.send(Data(channel=channel, data=data))
    await peer.send(End(channel=channel))


async def _read(output: asyncio.StreamReader) -> bytes:
    try:
        return await output.read(MAX_DATA)
    except OSError:  # of a terminal that nobody has open any more
        return b""


async def _hear(peer: Peer, child: _Pipes | _Terminal) -> None:
    """Pass input on, until the session is over (which is raised)."""
    while True:
        frame = await peer.next()
        if isinstance(frame, Resize):
            child.resize(frame)
        elif isinstance(frame, End):
            child.finish()
        elif frame.channel == STDIN:
            await child.give(frame.data)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None or process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
