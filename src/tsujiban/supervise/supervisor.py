"""The supervisor proper: the table of processes, their deaths, and their restarts.

It lives on one asyncio loop and knows nothing of sockets; `server` puts an API in front of it.
Every change of the table is written to `processes.json` in the run directory (pid and start
time), so that `tsujiban down` finds what a killed supervisor left behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tsujiban.supervise import logs, procfs
from tsujiban.supervise.process import Process, State
from tsujiban.supervise.spec import ProcessSpec
from tsujiban.waiting import within

RECORD = "processes.json"
LOCK = "supervisor.lock"  # held (flock) as long as the supervisor lives
ROTATE_EVERY = 1.0  # seconds between looks at the sizes of the logs
NEED_SECONDS = 0.5  # between looks for what a process needs
DEAF_AFTER = 0.1  # seconds after the stop signal; then a process that cannot hear it is killed

Event = dict[str, Any]


class SupervisorError(Exception):
    """A request that cannot be obeyed; the text says why and what to do."""


class Supervisor:
    """All processes of one run directory."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._processes: dict[str, Process] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._stopped: dict[str, asyncio.Event] = {}
        self._watchers: set[Callable[[Event], None]] = set()
        self._shutting_down = False
        own = procfs.stat(os.getpid())
        self._start_ticks = own.start_ticks if own else 0

    def attach(self) -> None:
        """Take over SIGCHLD of the running loop and begin to look after the logs."""
        self._record()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self.reap)
        loop.call_later(ROTATE_EVERY, self._rotate)

    def watch(self, watcher: Callable[[Event], None]) -> Callable[[], None]:
        """Call `watcher` with every event from now on; the result ends that."""
        self._watchers.add(watcher)
        return lambda: self._watchers.discard(watcher)

    # ------------------------------------------------------------ requests

    async def start(self, spec: ProcessSpec, replace: bool = False, later: bool = False) -> Event:
        """Start a process; a no-op when it is there with the same specification.

        With another specification: an error, or with `replace` the old one is stopped first. With `later`
        what is there stays as it is, also when it has ended for good, and only its next start, if there is
        one, is by the new specification. Raises SupervisorError.
        """
        self._refuse_late()
        known = self._processes.get(spec.name)
        if known is not None and known.state is not State.STOPPING:
            if later:
                self._follow(known, spec)
            if known.wanted == spec:
                return self.status(spec.name)
        if known is not None:
            if not replace and known.state is not State.STOPPING:
                raise SupervisorError(f"{spec.name} runs with another specification: stop it, or replace it")
            await self.stop(spec.name)
            self._refuse_late()  # its turn to be stopped may have been meanwhile
            if spec.name in self._processes:  # another client was faster
                raise SupervisorError(f"{spec.name} was started by somebody else at the same time")
        process = Process(spec, self._log_path(spec))
        try:
            process.open_listeners()
        except (OSError, ValueError) as error:
            raise SupervisorError(f"{spec.name}: cannot listen: {error}") from None
        self._processes[spec.name] = process
        self._launch(process)
        return self.status(spec.name)

    @staticmethod
    def _follow(process: Process, spec: ProcessSpec) -> None:
        try:
            process.follow(spec)
        except ValueError as error:
            raise SupervisorError(f"{spec.name}: {error}") from None

    def _refuse_late(self) -> None:
        if self._shutting_down:
            raise SupervisorError("the supervisor is shutting down")

    async def stop(self, name: str, forget_log: bool = False) -> None:
        """Stop a process and forget it: stop signal, `grace`, SIGKILL; a no-op for an unknown name.

        With `forget_log` its log goes too.
        """
        process = self._processes.get(name)
        if process is None:
            return
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        if process.pid and process.state is not State.STOPPING:
            process.state = State.STOPPING
            self._stopped[name] = asyncio.Event()
            process.signal(process.spec.stop_signal)
        ended = self._stopped.get(name)
        if ended is not None:
            await self._wait_end(process, ended)
            self._stopped.pop(name, None)
        if self._processes.get(name) is process:
            process.close_listeners()
            del self._processes[name]
            if forget_log:
                logs.forget(process.log, self._run_dir)
            self._changed("removed", process)

    async def _wait_end(self, process: Process, ended: asyncio.Event) -> None:
        grace = process.spec.grace
        first = min(DEAF_AFTER, grace)
        if await within(ended, first):
            return
        if not process.deaf() and await within(ended, grace - first):
            return
        process.kill_group()
        await ended.wait()

    def kill(self, name: str, number: int) -> None:
        """Send a signal to a process's group; the restart policy applies to what follows."""
        process = self._known(name)
        if not process.pid:
            raise SupervisorError(f"{name} is not running: it is {process.state.value}")
        process.signal(number)

    def status(self, name: str) -> Event:
        """State of one process. Raises SupervisorError."""
        process = self._known(name)
        return process.status(procfs.members(process.pid) if process.pid else [])

    def specification(self, name: str) -> Event:
        """How a process was started. Raises SupervisorError when there is none of that name."""
        return self._known(name).spec.to_json()

    def list(self, prefix: str = "") -> list[Event]:
        """States of all processes whose name starts with `prefix`, in order of their start."""
        running = procfs.processes()
        return [entry.status(running) for name, entry in self._processes.items() if name.startswith(prefix)]

    async def shutdown(self) -> None:
        """Stop everything, highest order first, the latest started first among equals."""
        self._shutting_down = True
        for order in sorted({entry.spec.order for entry in self._processes.values()}, reverse=True):
            names = [name for name, entry in self._processes.items() if entry.spec.order == order]
            await asyncio.gather(*(self.stop(name) for name in reversed(names)))

    # ------------------------------------------------------------ life and death

    def _launch(self, process: Process) -> None:
        self._timers.pop(process.spec.name, None)
        try:
            process.start()
        except OSError as error:
            process.error = str(error)
            self._next(process, process.rest(0.0, 127))
            return
        self._changed("started", process)

    def reap(self) -> None:
        """Collect every dead child: ours, and orphans that we inherited as subreaper."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            for process in self._processes.values():
                if process.pid == pid:
                    self._ended(process, code)
                    break

    def _ended(self, process: Process, code: int) -> None:
        delay = process.exited(code)
        self._changed("exited", process)
        ended = self._stopped.get(process.spec.name)
        if ended is not None:
            ended.set()
            return
        self._next(process, delay)

    def _next(self, process: Process, delay: float | None) -> None:
        if delay is None:
            return
        self._emit({"event": "backoff", "name": process.spec.name, "delay": delay, "error": process.error})
        loop = asyncio.get_running_loop()
        self._timers[process.spec.name] = loop.call_later(delay, self._restart, process)

    def _restart(self, process: Process) -> None:
        if process.lacks():
            loop = asyncio.get_running_loop()
            self._timers[process.spec.name] = loop.call_later(NEED_SECONDS, self._restart, process)
            return
        process.restarts += 1
        self._launch(process)

    # ------------------------------------------------------------ book-keeping

    def _known(self, name: str) -> Process:
        process = self._processes.get(name)
        if process is None:
            raise SupervisorError(f"no process is named {name!r}")
        return process

    def _log_path(self, spec: ProcessSpec) -> Path:
        return Path(spec.log) if spec.log else log_path(self._run_dir, spec.name)

    def _changed(self, event: str, process: Process) -> None:
        self._record()
        self._emit(
            {
                "event": event,
                "name": process.spec.name,
                "pid": process.pid,
                "restarts": process.restarts,
                "last_exit": process.last_exit,
                "time": time.time(),
            }
        )

    def _emit(self, event: Event) -> None:
        for watcher in tuple(self._watchers):
            watcher(event)

    def _record(self) -> None:
        entries = [{"name": "supervisor", "pid": os.getpid(), "start_ticks": self._start_ticks}]
        entries += [
            {"name": name, "pid": entry.pid, "start_ticks": entry.start_ticks}
            for name, entry in self._processes.items()
            if entry.pid
        ]
        target = self._run_dir / RECORD
        temporary = target.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(entries))
            temporary.replace(target)
        except OSError as error:  # a full disk must not keep processes from being restarted
            print(f"cannot write {target}: {error}", file=sys.stderr)

    def _rotate(self) -> None:
        for process in self._processes.values():
            try:
                process.look_at_log()
            except OSError as error:  # a full disk must not end the supervisor
                print(f"cannot rotate {process.log}: {error}", file=sys.stderr)
        asyncio.get_running_loop().call_later(ROTATE_EVERY, self._rotate)


def log_path(run_dir: Path, name: str) -> Path:
    """Where the log of a process is, unless its specification says otherwise."""
    return run_dir / "logs" / (name + ".log")
