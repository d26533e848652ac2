"""What /proc says of a process and of its session: memory, start time, signals, namespaces.

A supervised process leads a session of its own, so its descendants (also those in a PID
namespace of their own) are the processes of that session. Pids are reused; a pid together with
its start time is not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that are needed here (proc(5))."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start_ticks: int  # clock ticks after boot


def parse_stat(text: str) -> Stat:
    """Parse one /proc/PID/stat; the command in parentheses may hold anything, even ')'."""
    pid, _, rest = text.partition(" (")
    fields = rest[rest.rindex(")") + 2 :].split()
    return Stat(int(pid), fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def stat(pid: int) -> Stat | None:
    """State of one process; None when it is gone."""
    try:
        return parse_stat((PROC / str(pid) / "stat").read_text(errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def processes() -> list[Stat]:
    """All processes, zombies included."""
    found = (stat(int(name)) for name in os.listdir(PROC) if name.isdecimal())
    return [entry for entry in found if entry is not None]


def members(session: int) -> list[Stat]:
    """Living processes that belong to a session."""
    return belonging(processes(), session)


def belonging(running: list[Stat], session: int) -> list[Stat]:
    """Living ones of `running` that are in a session, or in one that a child of its processes has begun, as
    process 1 of a container with a terminal does."""
    inside = {entry.pid for entry in running if entry.session == session}
    begun = {entry.pid for entry in running if entry.session == entry.pid and entry.parent in inside}
    begun.add(session)
    return [entry for entry in running if entry.session in begun and entry.state not in "ZX"]


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes."""

    rss: int = 0
    private: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.rss + other.rss, self.private + other.private)


def memory(pid: int) -> Memory:
    """Resident and private (clean and dirty) memory of one process; zero when it is gone."""
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return Memory()
    sizes: dict[str, int] = {}
    for line in text.splitlines()[1:]:
        key, _, rest = line.partition(":")
        sizes[key] = int(rest.split()[0]) * 1024
    private = sum(sizes.get(key, 0) for key in ("Private_Clean", "Private_Dirty", "Private_Hugetlb"))
    return Memory(sizes.get("Rss", 0), private)


def _status(pid: int) -> dict[str, str]:
    try:
        text = (PROC / str(pid) / "status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _is_init(status: dict[str, str]) -> bool:
    inner = status.get("NSpid", "").split()
    return len(inner) > 1 and inner[-1] == "1"


def is_init(pid: int, uid: int) -> bool:
    """True when `pid` is process 1 of a PID namespace below ours and runs as `uid` only."""
    status = _status(pid)
    return _is_init(status) and set(status["Uid"].split()) == {str(uid)}


def ignores_as_init(pid: int, signal_number: int) -> bool:
    """True when `pid` is process 1 of a PID namespace and neither catches nor blocks the signal.

    The kernel then drops the signal (pid_namespaces(7)): waiting for it would be in vain.
    """
    status = _status(pid)
    if not _is_init(status):
        return False
    handled = int(status["SigCgt"], 16) | int(status["SigBlk"], 16)
    return not handled >> (signal_number - 1) & 1
