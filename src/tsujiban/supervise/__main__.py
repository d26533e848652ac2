"""`python -m tsujiban.supervise --socket PATH --run-dir DIR`: the supervisor process.

Prints one line `ready` on standard output when it answers. SIGTERM and SIGINT stop all
processes in order, then the supervisor.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import fcntl
import os
import signal
import sys
from pathlib import Path

from tsujiban.supervise.server import Server
from tsujiban.supervise.supervisor import LOCK, Supervisor

PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run until told to stop; 1 when it cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m tsujiban.supervise")
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to answer on (mode 0600)")
    parser.add_argument("--run-dir", type=Path, required=True, help="logs and the record of processes")
    options = parser.parse_args()
    os.umask(0o022)  # children must not depend on who called
    options.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(options.run_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"a supervisor already runs in {options.run_dir}", file=sys.stderr)
        return 1
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    options.socket.unlink(missing_ok=True)
    asyncio.run(_serve(options.socket, options.run_dir))
    options.socket.unlink(missing_ok=True)
    return 0


async def _serve(socket_path: Path, run_dir: Path) -> None:
    supervisor = Supervisor(run_dir)
    supervisor.attach()
    server = Server(supervisor)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stopping.set)
    listener = await server.listen(socket_path)
    print("ready", flush=True)
    await server.stopping.wait()
    await supervisor.shutdown()
    listener.close()
    await server.close()


if __name__ == "__main__":
    sys.exit(main())
