"""First process of the node proxy's room: as any sandbox's, but it stays, and hands Envoy over to Envoy.

On SIGWINCH (which nothing else here minds) it starts a second Envoy beside the first. The second takes over
the listening sockets of all pods, over a socket and shared memory that only this room has; the first
lets go of its connections as they end, for as long as its command line says, then ends itself. A
second one that fails leaves the first as it was. When the last one has ended, so does this process, and
with it the room: whoever started it starts it anew.

Run as a script, like `sandbox_init`; standard library only. The interpreter is loaded before the room
hides it, so nothing is imported afterwards. Source: Envoy's documentation, "Hot restart Python wrapper".
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

EPOCH = "--restart-epoch"
STOPPING = (signal.SIGTERM, signal.SIGINT)
RENEW = signal.SIGWINCH


def sibling(name: str) -> ModuleType:
    """A module of this directory: `-I` keeps it off the path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(name + ".py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Keeper:
    """The Envoys of this room. Their epochs count up; the highest one serves."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self._argv = argv
        self._environment = environment
        self._children: dict[int, int] = {}  # pid: epoch
        self._epoch = 0
        self._renew = False
        self._stopping = 0

    def run(self) -> int:
        """Until the last Envoy has ended; its exit code."""
        handled = {RENEW, signal.SIGCHLD, *STOPPING}
        signal.pthread_sigmask(signal.SIG_BLOCK, handled)
        self._start()
        code = 0
        while self._children:
            number = signal.sigwait(handled)
            if number == RENEW and not self._stopping and len(self._children) == 1:
                self._epoch += 1
                self._start()
            elif number in STOPPING:
                self._stopping = number
                for pid in self._children:
                    os.kill(pid, number)
            code = self._reap(code)
        return code

    def _start(self) -> None:
        argv = [*self._argv, EPOCH, str(self._epoch)]
        pid = os.fork()
        if pid:
            self._children[pid] = self._epoch
            return
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            os.execvpe(argv[0], argv, self._environment)  # noqa: S606 - no shell is wanted
        except OSError as error:
            print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
            os._exit(127)

    def _reap(self, code: int) -> int:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return code
            if pid == 0:
                return code
            if (epoch := self._children.pop(pid, None)) is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            if self._children and epoch == self._epoch:
                print(f"the new Envoy ended ({code}); the old one goes on", file=sys.stderr, flush=True)
                self._epoch -= 1


def main() -> NoReturn:
    """Do what the environment variable says; the exit code of the last Envoy, or 126."""
    init: Any = sibling("sandbox_init")
    config = json.loads(os.environ.pop(init.VARIABLE))
    init.settle(config)
    code = Keeper(config["argv"], config["env"]).run()
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
