"""One supervised process through all its incarnations.

The state machine is here, without a loop or a socket: the server calls `start`, `exited` and
`signal`, and keeps the clock. Every incarnation leads a session and a process group of its
own; whatever is left of the group when the leader ends is killed before the next start.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from tsujiban.supervise import logs, procfs
from tsujiban.supervise.backoff import Backoff
from tsujiban.supervise.command import command_line
from tsujiban.supervise.netns import open_listener
from tsujiban.supervise.spec import ProcessSpec

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HIGH_DESCRIPTOR = 64


class State(StrEnum):
    """Where a process is in its life."""

    RUNNING = "running"
    BACKOFF = "backoff"  # ended, will be started again
    EXITED = "exited"  # ended, stays so
    STOPPING = "stopping"


class Process:
    """A specification and its current incarnation."""

    def __init__(self, spec: ProcessSpec, log: Path) -> None:
        self.spec = spec  # of the current incarnation, or of the last one
        self._next: ProcessSpec | None = None  # of the next one, when that differs
        self.log = log
        self.state = State.BACKOFF
        self.pid = 0
        self.start_ticks = 0
        self.restarts = 0
        self.started_at = 0.0  # UNIX seconds
        self.exited_at = 0.0
        self.last_started_at = 0.0  # when the incarnation that has ended last had begun
        self.last_exit: int | None = None  # exit status; negative for a signal
        self.last_oom = False  # whether the kernel had killed in it for want of memory
        self._ooms = 0
        self.error = ""  # why it could not be started
        self._seen: int | None = None  # bytes of the log, when last looked at
        self._backoff = Backoff(spec)
        self._listeners: list[socket.socket] = []

    @property
    def wanted(self) -> ProcessSpec:
        """What the next incarnation is started by."""
        return self._next or self.spec

    def follow(self, spec: ProcessSpec) -> None:
        """Take another specification at the next start. Raises ValueError when it cannot be had that late."""
        for key in ("listen", "log"):
            if getattr(spec, key) != getattr(self.spec, key):
                raise ValueError(f"{key}: cannot change without a stop")
        self._next = None if spec == self.spec else spec

    def open_listeners(self) -> None:
        """Open the listening sockets; they stay open over restarts. Raises OSError."""
        try:
            for entry in self.spec.listen:
                with open_listener(entry.netns, entry.address) as listener:
                    # well above the numbers that the child gets, so that no dup2 overwrites another
                    high = fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR)
                self._listeners.append(socket.socket(fileno=high))
        except OSError:
            self.close_listeners()
            raise

    def close_listeners(self) -> None:
        """Close them; the process is not started again."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def lacks(self) -> bool:
        """Whether the file that it needs is not there."""
        needs = self.wanted.needs
        return bool(needs) and not os.path.exists(needs)

    def start(self) -> None:
        """Start a new incarnation. Raises OSError when the operating system refuses."""
        spec = self.spec = self.wanted
        self._next = None
        self._backoff.follow(spec)
        argv = command_line(spec)
        env = {"PATH": PATH, **spec.env}
        if spec.listen:
            env["LISTEN_FDS"] = str(len(spec.listen))
            env["LISTEN_FDNAMES"] = ":".join(entry.name for entry in spec.listen)
        self._ooms = self._count_ooms()
        log = logs.open_log(self.log, spec.uid, spec.gid)
        try:
            self._seen = logs.look(self.log, self._seen, start=True)
        except OSError as error:  # a full disk must not keep it from being started
            print(f"cannot note the start of {spec.name}: {error}", file=sys.stderr)
        try:
            self.pid = os.posix_spawnp(
                argv[0],
                argv,
                env,
                file_actions=self._descriptors(log),
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGXFSZ),
            )
        finally:
            os.close(log)
        entry = procfs.stat(self.pid)
        self.start_ticks = entry.start_ticks if entry else 0
        self.started_at = time.time()
        self.state = State.RUNNING
        self.error = ""

    def _descriptors(self, log: int) -> list[tuple[int, ...]]:
        actions: list[Any] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ]
        for number, listener in enumerate(self._listeners, start=3):
            actions.append((os.POSIX_SPAWN_DUP2, listener.fileno(), number))
        return actions

    def look_at_log(self) -> None:
        """Note how far it has grown, and keep it short. Raises OSError."""
        self._seen = logs.look(self.log, self._seen)
        if logs.rotate(self.log):
            self._seen = 0

    def exited(self, code: int) -> float | None:
        """The leader ended: kill what is left of its group; seconds until the next start, or None."""
        self.kill_group()
        self.last_exit = code
        self.exited_at = time.time()
        self.last_started_at = self.started_at
        self.last_oom = self._count_ooms() > self._ooms
        return self.rest(self.exited_at - self.started_at, code)

    def _count_ooms(self) -> int:
        try:
            text = Path(self.spec.oom).read_text() if self.spec.oom else ""
        except OSError:  # its group is not there (any more)
            return 0
        found = [line.split()[1] for line in text.splitlines() if line.startswith("oom_kill ")]
        return int(found[0]) if found else 0

    def rest(self, uptime: float, code: int) -> float | None:
        """Decide what follows an end (or a start that failed)."""
        self.pid = 0
        delay = None if self.state is State.STOPPING else self._backoff.after_exit(uptime, code)
        self.state = State.EXITED if delay is None else State.BACKOFF
        return delay

    def signal(self, number: int) -> None:
        """Send a signal to the whole group of the current incarnation, if there is one."""
        if self.pid:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                return

    def kill_group(self) -> None:
        """SIGKILL to whatever is left of the group and of the session."""
        if not self.pid:
            return
        self.signal(signal.SIGKILL)
        for member in procfs.members(self.pid):
            try:
                os.kill(member.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def deaf(self) -> bool:
        """True when the stop signal cannot have any effect (a container's process 1 without handler)."""
        return any(
            procfs.ignores_as_init(member.pid, self.spec.stop_signal) for member in procfs.members(self.pid)
        )

    def status(self, running: list[procfs.Stat]) -> dict[str, Any]:
        """What `list` and `status` answer; memory in bytes, of the processes among `running` that belong
        to the session."""
        session = [entry.pid for entry in procfs.belonging(running, self.pid)] if self.pid else []
        used = sum((procfs.memory(pid) for pid in session), procfs.Memory())
        return {
            "name": self.spec.name,
            "state": self.state.value,
            "pid": self.pid,
            "start_ticks": self.start_ticks if self.pid else 0,
            "restarts": self.restarts,
            "started_at": self.started_at,
            "exited_at": self.exited_at,
            "last_started_at": self.last_started_at,
            "last_exit": self.last_exit,
            "last_oom": self.last_oom,
            "error": self.error,
            "rss_bytes": used.rss,
            "private_bytes": used.private,
            "log": str(self.log),
        }
