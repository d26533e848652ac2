"""This side of a remote command: the terminal in raw mode, what is typed, and the window's size."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import termios
import tty as terminals
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

from tsujiban.local.streams import CHUNK, CLOSE, RESIZE, STDIN


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Pass every key on as it is, ctrl-C too, while the block runs; nothing for what is no terminal."""
    if descriptor < 0 or not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        terminals.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class Input:
    """Messages for a remote command (`local.streams.execute`): what is read from `descriptor` (-1 for none),
    its end, and, with `tty`, the size of the window that it is."""

    def __init__(self, descriptor: int, *, tty: bool) -> None:
        self._descriptor = descriptor
        self._tty = tty
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = asyncio.Event()

    async def messages(self) -> AsyncIterator[bytes]:
        """Without end: the command's end is the end."""
        loop = asyncio.get_running_loop()
        if self._tty:
            self._resized()
            loop.add_signal_handler(signal.SIGWINCH, self._resized)
        reading = asyncio.ensure_future(self._read()) if self._descriptor >= 0 else None
        try:
            while True:
                yield await self._queue.get()
                if self._queue.empty():
                    self._room.set()
        finally:
            if self._tty:
                loop.remove_signal_handler(signal.SIGWINCH)
            if reading is not None:
                reading.cancel()

    def _resized(self) -> None:
        with suppress(OSError):  # it is no terminal
            columns, rows = os.get_terminal_size(max(self._descriptor, 0))
            size = json.dumps({"Width": columns, "Height": rows})
            self._queue.put_nowait(bytes([RESIZE]) + size.encode())

    async def _read(self) -> None:
        while data := await self._next():
            self._room.clear()
            self._queue.put_nowait(bytes([STDIN]) + data)
            await self._room.wait()
        self._queue.put_nowait(bytes([CLOSE, STDIN]))

    async def _next(self) -> bytes:
        """What can be read; a file always can, and the loop cannot wait for one."""
        if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            return os.read(self._descriptor, CHUNK)
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        try:
            loop.add_reader(self._descriptor, lambda: None if ready.done() else ready.set_result(None))
        except PermissionError:  # /dev/null and its like
            return os.read(self._descriptor, CHUNK)
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)
        try:
            return os.read(self._descriptor, CHUNK)
        except OSError:
            return b""
