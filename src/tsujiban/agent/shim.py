"""Parent of a container that has a standard input or a terminal of its own: holds the other end of it.

Run as a script (`python -IS shim.py COMMAND...`) by the supervisor, as root; standard library only, for there
is one for each such container. It ends as the command does, with the same status (128 and its number for a
signal). So each incarnation of a container has a fresh input, and neither the agent nor the controller has to
live for it to stay open: who attaches comes and goes on a Unix socket of root's, one message at a time
(SOCK_SEQPACKET). What to do comes as JSON in an environment variable, which the command does not get.

Without a terminal the container's output goes past this process, into its log. What a terminal says is
copied there, and clients are told that there is news; none of them can hold the container up. Of what comes
in one message is held: no client is read while the container does not take it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
from typing import Any, NoReturn

VARIABLE = "TSUJIBAN_SHIM"
MAX_CLIENTS = 16
MAX_INPUT = 32 * 1024  # bytes in one message
CHUNK = 32 * 1024
LAST_CHUNKS = 64  # of a terminal whose container has ended: its neighbour may have been handed it, and go on
# a client's messages, by their first byte: bytes; that no more come; the window's size (rows, columns)
INPUT, END, SIZE = b"i", b"e", b"s"
DIMENSIONS = struct.Struct("HH")
# what a client is told: at first whether there is an input for it (or too many have come), then of news
OPEN, CLOSED, BUSY, NEWS = b"o", b"c", b"b", b"n"
TIOCGPTPEER = 0x5441  # ioctl_tty(2); the termios module lacks it
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def listen(path: str) -> socket.socket:
    """A socket at `path`, which may be longer than the address of one. Raises OSError."""
    directory, name = os.path.split(path)
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=place)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    try:
        listener.bind(f"/proc/self/fd/{place}/{name}")
    finally:
        os.umask(before)
        os.close(place)
    listener.listen(MAX_CLIENTS)
    listener.setblocking(False)
    return listener


class Shim:
    """One container, from its start to its end."""

    def __init__(self, config: dict[str, Any], argv: list[str]) -> None:
        """`config`: `socket`, `uid`, `gid`, and whether it has a `terminal`, a `stdin`, and that `once`."""
        self._terminal = bool(config["terminal"])
        self._once = bool(config["once"]) and not self._terminal
        self._takes = bool(config["stdin"])  # whether there is an input for who attaches
        self._listener = listen(config["socket"])
        self._clients: list[socket.socket] = []
        self._left: set[socket.socket] = set()  # those of them who have gone, and what they sent is not taken
        self._input = -1  # where input goes: a pipe, or the terminal's master once it is there
        self._pending = b""  # input that the container has not taken yet
        self._over = False  # whether no input comes after that
        self._slave = -1  # held, or the master would be hung up whenever the container closes all of its own
        self._size: tuple[int, int] | None = None
        self._first: int | None = None  # pidfd of the container's process 1, of one with a terminal
        self._asker: socket.socket | None = None
        self._catch_signals()
        if self._terminal:
            self._asker, given = socket.socketpair()
            self._asker.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            with given:
                self._child = _spawn(argv, given.fileno())
        else:
            reading, self._input = os.pipe()
            os.fchown(reading, config["uid"], config["gid"])  # it may open /dev/stdin
            os.set_blocking(self._input, False)
            self._child = _spawn(argv, reading)
            os.close(reading)
        self._ended = os.pidfd_open(self._child)

    def run(self) -> int:
        """Until the command ends; its status."""
        while True:
            ready = self._wait()
            if self._asker is not None and self._asker.fileno() in ready:
                self._take_terminal(self._asker)
            if self._input in ready and self._pending:
                self._give()
            if self._terminal and self._input in ready:
                self._copy()
            for client in self._clients[:]:
                if client.fileno() in ready and self._listening:
                    self._hear(client)
                elif ready.get(client.fileno(), 0) & select.POLLHUP:
                    self._part(client)
            if self._listener.fileno() in ready:  # after those who leave, who make room
                self._accept()
            if self._ended in ready:
                break
        _, status = os.waitpid(self._child, 0)
        if self._terminal and self._input >= 0:
            os.close(self._slave)
            for _ in range(LAST_CHUNKS):
                if not self._copy():
                    break
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    # ------------------------------------------------------------ what is waited for

    @property
    def _listening(self) -> bool:
        """Whether what clients say can be heard now."""
        return not self._pending and (self._asker is None or not self._takes)

    def _wait(self) -> dict[int, int]:
        """What has happened, by descriptor."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._ended, select.POLLIN)
        if self._asker is not None:
            poll.register(self._asker, select.POLLIN)
        wanted = select.POLLIN if self._terminal else 0
        wanted |= select.POLLOUT if self._pending else 0
        if self._input >= 0 and wanted:
            poll.register(self._input, wanted)
        for client in self._clients:
            if self._listening:
                poll.register(client, select.POLLIN)
            elif client not in self._left:
                poll.register(client, 0)  # that it has gone is told nevertheless
        return dict(poll.poll())

    def _catch_signals(self) -> None:
        """What the supervisor sends to the group is for the container. Its process 1 is in the group, unless
        a terminal has made it the leader of another; then it is passed on."""
        kept = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
        for number in signal.valid_signals() - kept:
            signal.signal(number, self._pass_on if self._terminal else signal.SIG_IGN)

    def _pass_on(self, number: int, _frame: object) -> None:
        if self._first is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, number)

    # ------------------------------------------------------------ the terminal

    def _take_terminal(self, asker: socket.socket) -> None:
        """The container's first process sends the master of a terminal of its own."""
        space = socket.CMSG_SPACE(4) + socket.CMSG_SPACE(_CREDENTIALS.size)
        _, ancillary, _, _ = asker.recvmsg(64, space, socket.MSG_CMSG_CLOEXEC)
        told = {kind: data for level, kind, data in ancillary if level == socket.SOL_SOCKET}
        asker.close()
        self._asker = None
        if {socket.SCM_RIGHTS, socket.SCM_CREDENTIALS} <= told.keys():  # else it has ended before that
            self._input = struct.unpack("i", told[socket.SCM_RIGHTS][:4])[0]
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                self._first = os.pidfd_open(_CREDENTIALS.unpack(told[socket.SCM_CREDENTIALS])[0])
            os.set_blocking(self._input, False)
            self._slave = fcntl.ioctl(self._input, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            self._resize()

    def _resize(self) -> None:
        if self._size is not None and self._terminal and self._input >= 0:
            fcntl.ioctl(self._input, termios.TIOCSWINSZ, struct.pack("HHHH", *self._size, 0, 0))

    def _copy(self) -> bool:
        """What the terminal says goes to the log; whether there was something."""
        try:
            data = os.read(self._input, CHUNK)
        except OSError:  # nothing now, or nothing any more
            return False
        with contextlib.suppress(
            OSError
        ):  # a full disk: what does not fit is lost, as it would be without us
            while data:
                data = data[os.write(1, data) :]
        for client in self._clients:
            with contextlib.suppress(OSError):  # it has news already, or has gone
                client.send(NEWS, socket.MSG_DONTWAIT)
        return True

    # ------------------------------------------------------------ clients

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # it has gone already
            return
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        crowded = len(self._clients) >= MAX_CLIENTS
        if _CREDENTIALS.unpack(credentials)[1] != os.geteuid():
            client.close()
            return
        with contextlib.suppress(OSError):
            client.send(BUSY if crowded else OPEN if self._takes else CLOSED, socket.MSG_DONTWAIT)
        if crowded:
            client.close()
            return
        client.setblocking(False)
        self._clients.append(client)

    def _hear(self, client: socket.socket) -> None:
        try:
            message = client.recv(1 + MAX_INPUT)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        kind, data = message[:1], message[1:]
        if kind == INPUT:
            if self._takes:
                self._pending = data
                self._give()
        elif kind == END:
            if self._once:
                self._over = True
                self._give()
        elif kind == SIZE and len(data) == DIMENSIONS.size:
            self._size = DIMENSIONS.unpack(data)
            self._resize()
        else:
            self._drop(client)

    def _part(self, client: socket.socket) -> None:
        """It has gone, while nothing is taken: what it has typed before that waits, and so does its place."""
        while client in self._clients:
            try:
                kind = client.recv(1, socket.MSG_PEEK)
            except OSError:
                kind = b""
            if kind == INPUT:
                self._left.add(client)
                return
            self._hear(client)

    def _drop(self, client: socket.socket) -> None:
        self._clients.remove(client)
        self._left.discard(client)
        client.close()

    def _give(self) -> None:
        if self._pending:
            self._write()
        if self._over and not self._pending:
            self._close()

    def _write(self) -> None:
        try:
            self._pending = self._pending[os.write(self._input, self._pending) :]
        except BlockingIOError:
            return
        except OSError:  # nobody will read it any more
            self._pending = b""
            if not self._terminal:
                self._close()

    def _close(self) -> None:
        """The container finds the end of its input."""
        self._takes = False
        if self._input >= 0:
            os.close(self._input)
            self._input = -1


def _spawn(argv: list[str], stdin: int) -> int:
    return os.posix_spawnp(
        argv[0],
        argv,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, stdin, 0)],
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )


def main() -> NoReturn:
    """Do what the environment variable says."""
    config = json.loads(os.environ.pop(VARIABLE))
    try:
        shim = Shim(config, sys.argv[1:])
    except OSError as error:
        print(f"tsujiban shim: {error}", file=sys.stderr, flush=True)
        os._exit(126)
    os._exit(shim.run())


if __name__ == "__main__":
    main()
