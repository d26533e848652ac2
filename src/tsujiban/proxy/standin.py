"""In the place of an Envoy that has ended, towards the one that has taken over from it.

For as long as the old one may live, the new one asks it for the sockets of every listener that comes, and
tells it to end when its time is over, or when a still newer one comes. It does not reckon with an old one
that has ended before (the agent ends it when it cannot feel a change, see `generations`; or it has crashed):
its main thread tries for 10 s to send to a socket that nobody reads, and then it aborts, with the connections
of all its pods. And it waits without end for an answer that was on its way. So somebody must be there.

Here the agent is: it takes the old one's socket, says to each question that it was not understood, whereupon
the new one binds its sockets by itself, and listens until it is told to end. An agent that is away for less
than 10 s is not missed. One that was killed with a question before it has left an Envoy that does nothing
else any more, connecting to the next agent included: so that one looks for it, and says the same unasked.

The room's directory belongs to root, but what is in it is the proxy's: nothing there is followed, and nothing
is believed but the number of the epoch. Source: Envoy's source/server/hot_restart.proto,
hot_restarting_base.cc (a datagram is its length, 8 bytes, and one message).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from pathlib import Path

import structlog

from tsujiban.supervise import procfs
from tsujiban.waiting import within

log = structlog.get_logger(__name__)

HANDOVER = Path("/tmp/hot-restart")  # noqa: S108 - in a room of its own; how the names of the sockets begin
LOOK_SECONDS = 0.5  # between looks whether the old one is there
LIVES_SECONDS = 30.0  # between looks whether the new one is
_EPOCH = b"--restart-epoch"
_MOST = 4096  # bytes of a datagram
_LENGTH = struct.Struct(">Q")
_REQUEST, _TERMINATE, _DRAIN = 0x0A, 0x2A, 0x22  # keys of fields 1 of the message; 5 and 4 of a request
_NOT_UNDERSTOOD = bytes((3 << 3, 1))  # didnt_recognize_your_last_message
ANSWER = _LENGTH.pack(len(_NOT_UNDERSTOOD)) + _NOT_UNDERSTOOD


def epoch(pid: int) -> int:
    """How many Envoys have been in the room before this one, as its command line says; 0 if it is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return max(0, int(words[words.index(_EPOCH) + 1]))
    except (OSError, ValueError, IndexError):
        return 0


def of_user(uid: int) -> list[int]:
    """The Envoys of a proxy's user, which nobody else is, that have taken over from others. Blocks."""
    if uid == os.geteuid():
        return []
    found = []
    for one in procfs.processes():
        with contextlib.suppress(OSError):  # it has ended
            if os.stat(f"/proc/{one.pid}").st_uid == uid and epoch(one.pid):
                found.append(one.pid)
    return found


def kind(datagram: bytes) -> int:
    """The key of the request's own field in a datagram; 0 when it is none."""
    body = datagram[_LENGTH.size :]
    return body[2] if len(body) > 2 and body[0] == _REQUEST else 0


class Room:
    """The directory in which the Envoys of a process's room meet. Close it."""

    def __init__(self, pid: int) -> None:
        """Raises OSError when the process is gone."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._directory = os.open(f"/proc/{pid}/root{HANDOVER.parent}", flags)

    def close(self) -> None:
        """Forget it."""
        os.close(self._directory)

    def reached(self, name: str) -> socket.socket | None:
        """A datagram socket that is connected to the one of that name; None when nobody reads there."""
        try:
            found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        except FileNotFoundError:
            return None
        try:
            if not stat.S_ISSOCK(os.fstat(found).st_mode):
                return None
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                made.connect(f"/proc/self/fd/{found}")
            except OSError:
                made.close()
                return None
            return made
        finally:
            os.close(found)

    def take(self, name: str, uid: int) -> socket.socket:
        """Be the one who reads there, for a proxy whose user is `uid`. There is a socket at every moment.
        Raises OSError."""
        beside = f"{name}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=self._directory)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            made.bind(f"/proc/self/fd/{self._directory}/{beside}")
            os.chown(beside, uid, uid, dir_fd=self._directory, follow_symlinks=False)
            os.rename(beside, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except BaseException:
            made.close()
            raise
        return made


class StandIn:
    """For the Envoy `pid`, whose user is `uid`: `run` until it needs nobody, or is cancelled."""

    def __init__(self, pid: int, uid: int) -> None:
        self._pid = pid
        self._uid = uid
        self._epoch = epoch(pid)
        found = procfs.stat(pid)
        self._begun = found.start_ticks if found is not None else -1

    async def run(self) -> None:
        """Wait for the end of the one before, then be in its place. Nothing is done for a first one."""
        if not self._epoch:
            return
        try:
            room = Room(self._pid)
        except OSError:
            return  # it is gone
        try:
            await self._wait(room)
            await self._serve(room)
        except OSError as error:
            log.error("nobody stands in for an Envoy that has ended", pid=self._pid, reason=str(error))
        finally:
            room.close()

    @property
    def _old(self) -> str:
        return f"{HANDOVER.name}_parent_{self._epoch - 1}"

    def _alive(self) -> bool:
        found = procfs.stat(self._pid)
        return found is not None and found.start_ticks == self._begun and found.state not in "ZX"

    async def _wait(self, room: Room) -> None:
        while self._alive() and (there := room.reached(self._old)) is not None:
            there.close()
            await asyncio.sleep(LOOK_SECONDS)

    async def _serve(self, room: Room) -> None:
        if not self._alive():
            return
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        with contextlib.closing(room.take(self._old, self._uid)) as listening:
            log.info("stands in for an Envoy that has ended", pid=self._pid)
            loop.add_reader(listening, heard.set)
            try:
                self._answer(room)  # what may have been asked last
                while self._alive():
                    await within(heard, LIVES_SECONDS)
                    heard.clear()
                    if not self._read(room, listening):
                        return
            finally:
                loop.remove_reader(listening)

    def _read(self, room: Room, listening: socket.socket) -> bool:
        """Answer one question; whether there may be more."""
        try:
            asked = kind(listening.recv(_MOST))
        except BlockingIOError:
            return True
        if asked == _TERMINATE:
            return False
        if asked != _DRAIN:  # no answer to that is awaited
            self._answer(room)
        return True

    def _answer(self, room: Room) -> None:
        """Say that it was not understood. One answer too many does no harm: all say the same."""
        there = room.reached(f"{HANDOVER.name}_child_{self._epoch}")
        if there is not None:
            with contextlib.closing(there), contextlib.suppress(OSError):  # its end: nothing is lost
                there.send(ANSWER)


class StandIns:
    """Of all Envoys of one room, each as long as it needs one. Belongs to one event loop."""

    def __init__(self, uid: int) -> None:
        self._uid = uid
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def look(self, pid: int) -> None:
        """An Envoy has connected, perhaps again."""
        if pid not in self._tasks:
            task = asyncio.create_task(StandIn(pid, self._uid).run(), name=f"stand-in for Envoy {pid}")
            self._tasks[pid] = task
            task.add_done_callback(lambda _: self._tasks.pop(pid, None))

    def close(self) -> None:
        """Stand in for nobody any more."""
        for task in self._tasks.values():
            task.cancel()
