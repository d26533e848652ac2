"""What a supervised process is: the one thing that crosses the supervisor's socket.

The supervisor is root and obeys what it is sent, so a specification is checked here, whole,
before anything is started. Standard library only: the supervisor is the parent of everything
and must stay small, and this room is the lowest of all.
"""

from __future__ import annotations

import re
import signal
from dataclasses import MISSING, asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,7}")
CAPABILITY = re.compile(r"[a-z][a-z_]*")
MAX_NAME = 200


class SpecError(ValueError):
    """A specification that cannot be obeyed; the text names the field and what would be right."""


class Restart(StrEnum):
    """When a process that ended by itself is started again (Kubernetes' restartPolicy)."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A listening TCP socket that the supervisor opens once and passes to every incarnation."""

    address: str  # "172.31.255.1:7443" or "[::1]:7443"
    netns: str = ""  # path of a network namespace; "" is the supervisor's own
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process: what to run, where, with which rights, and what to do when it ends.

    `env` is the whole environment: nothing is inherited from the supervisor. It is in force
    already while privileges are being dropped, so it must not come from a user (containers
    get theirs through `tsujiban.agent.sandbox`). Times are in seconds.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    netns: str = ""  # path of a network namespace; "" stays in the supervisor's own
    uid: int | None = None  # None: root
    gid: int | None = None
    no_new_privs: bool = True
    bounding: tuple[str, ...] | None = None  # e.g. ("net_admin",); None leaves the set alone
    ambient: tuple[str, ...] = ()  # must be in `bounding`, when that is given
    cwd: str = "/"
    needs: str = ""  # path of a file without which it is not started again: it waits for that
    oom: str = ""  # path of a file with a line `oom_kill N`, which grows when the kernel kills for memory
    log: str = ""  # absolute path; "" is <run dir>/logs/<name>.log
    restart: Restart = Restart.ALWAYS
    backoff_initial: float = 0.2
    backoff_max: float = 10.0
    backoff_reset: float = 30.0  # up for this long: the next failure starts over at the initial delay
    listen: tuple[Listener, ...] = ()  # file descriptors 3, 4, ...; LISTEN_FDS holds their number
    stop_signal: int = signal.SIGTERM
    grace: float = 5.0  # from the stop signal to SIGKILL
    order: int = 0  # at shutdown the highest order is stopped first, equal ones together

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; the inverse of `from_json`. What is as usual is left out: a supervisor that has
        run since an older version then refuses only what it cannot do."""
        usual = {
            entry.name: entry.default if entry.default_factory is MISSING else entry.default_factory()
            for entry in fields(self)
        }
        return {key: value for key, value in asdict(self).items() if value != usual[key]}

    @classmethod
    def from_json(cls, data: Any) -> ProcessSpec:
        """Check and build. Raises SpecError."""
        if not isinstance(data, dict):
            raise SpecError("a process must be a JSON object")
        unknown = sorted(set(data) - {f.name for f in fields(cls)})
        if unknown:
            raise SpecError(f"unknown field {unknown[0]!r}")
        values = dict(data)
        for key in ("argv", "bounding", "ambient"):
            if isinstance(values.get(key), list):
                values[key] = tuple(values[key])
        try:
            values["listen"] = tuple(
                entry if isinstance(entry, Listener) else Listener(**entry)
                for entry in values.get("listen", ())
            )
            values["restart"] = Restart(values.get("restart", Restart.ALWAYS))
            spec = cls(**values)
        except (TypeError, ValueError) as error:
            raise SpecError(f"not a process: {error}") from None
        spec.check()
        return spec

    def check(self) -> None:
        """Refuse what cannot be obeyed. Raises SpecError."""
        _check_name(self.name)
        for key in ("argv", "bounding", "ambient"):
            if not isinstance(getattr(self, key), tuple | None):
                raise SpecError(f"{key}: must be a list of strings")
        _check_texts("argv", self.argv)
        if not self.argv or not self.argv[0]:
            raise SpecError("argv: must name a program")
        if not isinstance(self.env, dict):
            raise SpecError("env: must be an object of strings")
        _check_texts("env", tuple(self.env.values()))
        for key in self.env:
            if not isinstance(key, str) or not key or "=" in key or "\0" in key:
                raise SpecError(f"env: {key!r} is not a variable's name")
        for key in ("netns", "cwd", "needs", "oom", "log"):
            path = getattr(self, key)
            _check_texts(key, (path,))
            if path and not path.startswith("/"):
                raise SpecError(f"{key}: {path!r} must be an absolute path")
        self._check_rights()
        self._check_times()

    def _check_rights(self) -> None:
        for key in ("uid", "gid"):
            number = getattr(self, key)
            if number is not None and (not _is_int(number) or not 0 <= number < 2**32 - 1):
                raise SpecError(f"{key}: {number!r} is not an id")
        if (self.uid is None) != (self.gid is None):
            raise SpecError("uid and gid: give both or neither")
        for capability in (*(self.bounding or ()), *self.ambient):
            if not isinstance(capability, str) or not CAPABILITY.fullmatch(capability):
                raise SpecError(f"{capability!r} is not a capability; write net_admin, net_bind_service, ...")
        if self.bounding is not None and not set(self.ambient) <= set(self.bounding):
            raise SpecError("ambient: must be a subset of bounding")

    def _check_times(self) -> None:
        for key in ("backoff_initial", "backoff_max", "backoff_reset", "grace"):
            seconds = getattr(self, key)
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e6:
                raise SpecError(f"{key}: {seconds!r} is not a number of seconds")
        if not _is_int(self.order):
            raise SpecError(f"order: {self.order!r} is not a whole number")
        if not _is_int(self.stop_signal) or not 0 < self.stop_signal < 65:
            raise SpecError(f"stop_signal: {self.stop_signal!r} is not a signal number")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise SpecError(f"name: {name!r} must be words of letters, digits, '.', '_', '-', joined by '/'")


def _check_texts(key: str, values: tuple[object, ...]) -> None:
    for value in values:
        if not isinstance(value, str) or "\0" in value:
            raise SpecError(f"{key}: {value!r} is not a string without NUL")
