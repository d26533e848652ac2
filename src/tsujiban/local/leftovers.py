"""What is left of a cluster on this machine, and its removal.

Normally the supervisor takes everything with it. When it was killed, or something was started
by hand inside a namespace, what is left is found by what cannot be forgotten: the names of the
namespaces, the processes inside them, and the record of pids with their start times (a pid
alone may be somebody else's by now).
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tsujiban.local.layout import Layout
from tsujiban.network import namespaces
from tsujiban.resources.names import cluster_prefix
from tsujiban.supervise import procfs
from tsujiban.supervise.netns import namespace_path
from tsujiban.supervise.supervisor import LOCK, RECORD

DEADLINE = 60.0  # seconds for killed processes to be gone: only a machine that stands still takes so long


class LeftoverError(RuntimeError):
    """Something of a cluster could not be removed; the text says what."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Namespaces by name, processes by pid."""

    namespaces: tuple[str, ...] = ()
    processes: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.namespaces or self.processes)


def find(cluster: str) -> Leftovers:
    """Everything of a cluster that is there now, running or not. Raises FabricError for a bad name."""
    layout = Layout(cluster)
    names = namespaces.names(cluster_prefix(cluster))
    inside = _processes_in(names)
    recorded = _recorded(layout.run / RECORD)
    return Leftovers(tuple(names), tuple(sorted((inside | recorded) - {os.getpid()})))


def is_live(cluster: str) -> bool:
    """True when the cluster's supervisor runs: it holds a lock as long as it lives."""
    try:
        descriptor = os.open(Layout(cluster).run / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove(cluster: str) -> bool:
    """Kill what runs, remove the namespaces; False when there was nothing.

    Raises LeftoverError, NamespaceError, and PermissionError for who is not root.
    """
    found = find(cluster)
    if not found:
        return False
    if os.geteuid() != 0:
        raise PermissionError(f"cluster {cluster} runs as root; only root can remove it")
    left = found
    deadline = time.monotonic() + DEADLINE
    while left.processes:
        for pid in left.processes:
            _kill(pid)
        if time.monotonic() > deadline:
            raise LeftoverError(f"processes of cluster {cluster} do not die: {left.processes}")
        time.sleep(0.01)
        left = find(cluster)
    for name in left.namespaces:
        namespaces.delete(name)
    return True


def _processes_in(names: list[str]) -> set[int]:
    """Processes whose network namespace is one of `names`."""
    wanted = set()
    for name in names:
        try:
            wanted.add(os.stat(namespace_path(name)).st_ino)
        except FileNotFoundError:
            continue
    found = set()
    for entry in procfs.processes():
        try:
            if entry.state not in "ZX" and os.stat(f"/proc/{entry.pid}/ns/net").st_ino in wanted:
                found.add(entry.pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def _recorded(record: Path) -> set[int]:
    """Processes of the supervisor's record that are still the same ones, and their sessions."""
    try:
        entries = json.loads(record.read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError):
        return set()
    leaders = set()
    for entry in entries:
        now = procfs.stat(entry["pid"])
        if now is not None and now.start_ticks == entry["start_ticks"] and now.state not in "ZX":
            leaders.add(now.pid)
    sessions = {
        entry.pid for entry in procfs.processes() if entry.session in leaders and entry.state not in "ZX"
    }
    return leaders | sessions


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
