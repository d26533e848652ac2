"""Limits of containers: control groups of the kernel, one for each container that has any, in version 1 or 2.

A container joins its group before it gives up its rights (`sandbox_init`), and so does whatever is run in it
later; it sees no control group, and cannot leave its own. Where the machine cannot limit something, that is
said of the pod. Source: kernel documentation, "Control Group v2", and "cgroup-v1" (memory, cpu).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import structlog

from tsujiban.agent.objects import ConfigError
from tsujiban.resources import quantities
from tsujiban.resources.kinds.core import Container

log = structlog.get_logger(__name__)

MOUNTS = Path("/proc/self/mounts")
TOP = "tsujiban"
PERIOD = 100_000  # microseconds
SHORTEST_QUOTA = 1_000  # microseconds, of the kernel's own
LARGEST_QUOTA = (1 << 44) - 1  # microseconds, likewise
LARGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use at most; None: no limit."""

    cpu: Fraction | None = None  # cores
    memory: int | None = None  # bytes


@dataclass(frozen=True, slots=True)
class Controller:
    """Where a kind of limit is set: the top of a hierarchy; `unified` is version 2."""

    top: Path
    unified: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A container's."""

    settings: dict[Path, dict[str, str]]  # by directory, what is written into which file, in order
    oom: Path | None = None  # has a line `oom_kill` and how often that was
    lacking: tuple[str, ...] = ()  # limits that the machine cannot set

    @property
    def directories(self) -> tuple[Path, ...]:
        """What is joined."""
        return tuple(self.settings)


@dataclass(frozen=True, slots=True)
class Groups:
    """What the machine has; None: it cannot limit that."""

    memory: Controller | None = None
    cpu: Controller | None = None

    def group(self, cluster: str, uid: str, container: str, limits: Limits) -> Group | None:
        """Of a container of a pod; None when it has no limits. Pure."""
        settings: dict[Path, dict[str, str]] = {}
        oom, lacking = None, []
        name = f"c-{container}"  # which is none of the files that the kernel has there, as `tasks` is
        if limits.memory is not None:
            if self.memory is None:
                lacking.append("memory")
            else:
                place = self.memory.top / TOP / cluster / uid / name
                settings[place] = _memory(limits.memory, self.memory.unified)
                oom = place / ("memory.events" if self.memory.unified else "memory.oom_control")
        if limits.cpu is not None:
            if self.cpu is None:
                lacking.append("cpu")
            else:
                place = self.cpu.top / TOP / cluster / uid / name
                settings.setdefault(place, {}).update(_cpu(limits.cpu, self.cpu.unified))
        return Group(settings, oom, tuple(lacking)) if settings or lacking else None

    def make(self, group: Group) -> None:
        """Make it, or set its limits again. Raises OSError."""
        for directory, files in group.settings.items():
            self._make(directory)
            for name, value in files.items():
                if (directory / name).exists():  # of swap, only where the kernel counts it
                    (directory / name).write_text(value)

    def _make(self, directory: Path) -> None:
        unified = next((one for one in self._all() if one.unified and one.top in directory.parents), None)
        if unified is None:
            directory.mkdir(parents=True, exist_ok=True)
            return
        above = [parent for parent in reversed(directory.parents) if unified.top in parent.parents]
        for parent in above:
            _delegate(parent)
        directory.mkdir(exist_ok=True)

    def remove(self, cluster: str, uid: str = "") -> None:
        """The groups of a pod, or of all of a cluster, whose processes have ended; those in which something
        is left stay. May be repeated."""
        for one in self._all():
            place = one.top / TOP / cluster / uid
            for parent, _, _ in os.walk(place, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(parent)
            with contextlib.suppress(OSError):  # another pod, or another cluster, has some
                os.rmdir(place.parent)

    def _all(self) -> Iterator[Controller]:
        yield from {one for one in (self.memory, self.cpu) if one is not None}


def find(mounts: Path = MOUNTS) -> Groups:
    """What this machine has, and lets be used."""
    found: dict[str, Controller] = {}
    lines = [line.split() for line in mounts.read_text().splitlines()]
    for _, where, kind, options, *_ in sorted(lines, key=lambda line: line[2] != "cgroup"):
        top = Path(where)
        if kind == "cgroup":
            offered = {"memory", "cpu"} & set(options.split(","))
        elif kind == "cgroup2":
            offered = {"memory", "cpu"} & set((top / "cgroup.controllers").read_text().split())
        else:
            continue
        for name in offered - found.keys():
            if _usable(top, kind == "cgroup2"):
                found[name] = Controller(top, kind == "cgroup2")
    return Groups(found.get("memory"), found.get("cpu"))


def limits_of(container: Container) -> Limits:
    """What a container's spec says. Raises ConfigError."""
    resources = container.resources
    limits = resources.get("limits") if isinstance(resources, dict) else None
    if not isinstance(limits, dict):
        return Limits()
    try:
        cpu, memory = (
            None if limits.get(name) is None else quantities.parse(limits[name]) for name in ("cpu", "memory")
        )
    except ValueError as error:
        raise ConfigError(f"resources.limits: {error}") from None
    if min(cpu or 0, memory or 0) < 0:
        raise ConfigError("resources.limits: must not be negative")
    # 0 is no limit, as in Kubernetes
    return Limits(cpu or None, min(int(memory), LARGEST) if memory else None)


def _memory(limit: int, unified: bool) -> dict[str, str]:
    if unified:
        return {"memory.max": str(limit), "memory.swap.max": "0"}
    return {"memory.limit_in_bytes": str(limit), "memory.memsw.limit_in_bytes": str(limit)}


def _cpu(limit: Fraction, unified: bool) -> dict[str, str]:
    quota = min(max(int(limit * PERIOD), SHORTEST_QUOTA), LARGEST_QUOTA)
    if unified:
        return {"cpu.max": f"{quota} {PERIOD}"}
    return {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(quota)}


def _usable(top: Path, unified: bool) -> bool:
    try:
        if unified:
            (top / "cgroup.subtree_control").write_text(_offered(top))
            _delegate(top / TOP)
        elif not os.access(top, os.W_OK):
            raise PermissionError("it may only be read")
    except OSError as error:
        log.warning("control groups cannot be used", top=str(top), reason=str(error))
        return False
    return True


def _delegate(directory: Path) -> None:
    """A group of version 2 that has groups below it, with what it may hand on to them."""
    directory.mkdir(exist_ok=True)
    (directory / "cgroup.subtree_control").write_text(_offered(directory))


def _offered(directory: Path) -> str:
    offered = (directory / "cgroup.controllers").read_text().split()
    return " ".join(f"+{name}" for name in ("cpu", "memory") if name in offered)
