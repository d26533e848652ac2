"""A pod's place on the machine: its network namespace, its directory, its processes' view.

Every process of a pod, container or sidecar, runs in the pod's network namespace and in mount,
UTS, IPC and PID namespaces of its own, without any capability, as a user of its own: it sees
the machine's files read-only, its own processes, and none of Tsujiban's directories. Nothing
holds a sandbox but its processes, so nothing of it is left when they end.

`Sandbox` is pure; `prepare` and `remove` touch the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tsujiban.agent import envfiles, etcfiles, sandbox_init, seccomp, shim
from tsujiban.agent.cgroups import Group
from tsujiban.network import namespaces
from tsujiban.resources import names
from tsujiban.supervise import procfs
from tsujiban.supervise.netns import namespace_path
from tsujiban.supervise.spec import ProcessSpec, Restart

HIDDEN = ("/run/tsujiban", "/run/netns", "/var/lib/tsujiban")
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
INIT = (sys.executable, "-IS", str(Path(sandbox_init.__file__)))
SHIM = (sys.executable, "-IS", str(Path(shim.__file__)))
SHIMS = "attach"  # directory of the shims' sockets
MESSAGES = "messages"  # and of the files in which containers leave their last words
TERMINAL = "xterm"  # what a terminal's programs are told it is
_UNSHARE = (
    "unshare",
    "--mount",
    "--uts",
    "--ipc",
    "--pid",
    "--fork",
    "--kill-child",
    "--propagation=private",
    "--",
)


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or directory of the machine shown at `target` inside."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """What of a process somebody can attach to; with neither it has no input, and needs no shim."""

    path: Path  # of the shim's socket
    stdin: bool = False
    once: bool = False  # the input ends when its first client leaves
    terminal: bool = False

    def variable(self, uid: int, gid: int) -> str:
        """What the shim is told."""
        words = {"stdin": self.stdin, "once": self.once, "terminal": self.terminal, "uid": uid, "gid": gid}
        return json.dumps({"socket": str(self.path), **words})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Where one pod lives."""

    cluster: str
    uid: str  # of the pod
    directory: Path  # <node run dir>/sandboxes/<pod uid>, root only
    names: etcfiles.Names
    hidden: tuple[str, ...] = field(default=HIDDEN)

    @property
    def netns(self) -> str:
        """Name of the pod's network namespace."""
        return names.pod_namespace(self.cluster, self.uid)

    @property
    def netns_path(self) -> str:
        """Path of the pod's network namespace."""
        return namespace_path(self.netns)

    def shim_socket(self, container: str) -> Path:
        """Where a container is attached to, which has a standard input or a terminal."""
        return self.directory / SHIMS / container

    def etc_files(self) -> dict[str, str]:
        """Contents of the files in /etc that are the pod's own."""
        return etcfiles.files(self.names)

    def process(
        self,
        name: str,
        argv: tuple[str, ...] = (),
        *,
        uid: int,
        gid: int,
        env: dict[str, str] | None = None,
        cwd: str = "/",
        mounts: tuple[Mount, ...] = (),
        restart: Restart = Restart.ALWAYS,
        grace: float = 5.0,
        stop_signal: int = signal.SIGTERM,
        order: int = 5,
        log: str = "",
        init: tuple[str, ...] = INIT,
        given: str = "",
        console: Console | None = None,
        message: str = "",
        group: Group | None = None,
    ) -> ProcessSpec:
        """The specification of a process in this sandbox; `name` is the supervisor's, `init` what builds
        the sandbox and executes `argv`. With `given` the command and more variables come from that file, at
        each start. `message` is the file of its last words, which is begun anew at each start.
        `group` is what it joins, which must be there."""
        terminal = console is not None and console.terminal
        etc = tuple(Mount(str(self.directory / "etc" / entry), f"/etc/{entry}") for entry in self.etc_files())
        config = {
            "stage": str(self.directory / "root"),
            "hostname": self.names.hostname,
            "hide": list(self.hidden),
            "mounts": [
                {"source": entry.source, "target": entry.target, "writable": entry.writable}
                for entry in (*etc, *mounts)
            ],
            "uid": uid,
            "gid": gid,
            "forbidden": seccomp.program().hex(),
            "cwd": cwd,
            "env": {
                "PATH": PATH,
                "HOSTNAME": self.names.hostname,
                "HOME": "/tmp",  # noqa: S108
                **({"TERM": TERMINAL} if terminal else {}),
                **(env or {}),
            },
            **({"given": given} if given else {"argv": list(argv)}),
            **({"terminal": True} if terminal else {}),
            **({"message": message} if message else {}),
            **({"cgroups": [str(one) for one in group.directories]} if group and group.directories else {}),
        }
        variables = {sandbox_init.VARIABLE: json.dumps(config, sort_keys=True)}
        if console is not None:
            variables[shim.VARIABLE] = console.variable(uid, gid)
        return ProcessSpec(
            name=name,
            argv=(*(SHIM if console is not None else ()), *_UNSHARE, *init),
            env=variables,
            netns=self.netns_path,
            needs=given,
            oom=str(group.oom) if group is not None and group.oom is not None else "",
            log=log,
            restart=restart,
            grace=grace,
            stop_signal=stop_signal,
            order=order,
        )

    def prepare(self) -> None:
        """Make the network namespace and the directory, or complete them. Raises OSError,
        NamespaceError."""
        namespaces.create(self.netns)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("etc", "root", "volumes"):
            (self.directory / name).mkdir(mode=0o755, exist_ok=True)
        for name in (envfiles.DIRECTORY, SHIMS, MESSAGES):
            (self.directory / name).mkdir(mode=0o700, exist_ok=True)
        for name, content in self.etc_files().items():
            write_file(self.directory / "etc" / name, content.encode(), 0o644)

    def remove(self) -> None:
        """Remove both; the pod's processes must have ended. May be repeated."""
        namespaces.delete(self.netns)
        if self.directory.exists():
            shutil.rmtree(self.directory)


@dataclass(frozen=True, slots=True)
class Command:
    """A command line and the whole environment to run it with."""

    argv: tuple[str, ...]
    env: dict[str, str]


def exec_command(
    process: ProcessSpec, pid: int, argv: tuple[str, ...], *, terminal: bool = False, attended: bool = False
) -> Command:
    """The command that runs `argv` beside a running process of a sandbox: in its namespaces, as its
    user, with its environment, and with no more rights than it has.

    `pid` is the supervisor's pid of that process. With `terminal` it gets one of the sandbox's own, whose
    other end it sends over the Unix socket that it finds as standard input. `attended`: it is killed
    when the thread that started it ends. Raises LookupError when the process is not up.
    """
    config = json.loads(process.env[sandbox_init.VARIABLE])
    inner = sandbox_pid(pid, config["uid"])
    kept = ("uid", "gid", "forbidden", "cwd", "env", "given", "cgroups")
    entering = {key: config[key] for key in kept if key in config}
    entering |= {"enter": inner, "argv": list(argv), "terminal": terminal, "attended": attended}
    if terminal:
        entering["env"] = {"TERM": TERMINAL, **config["env"]}
    return Command(INIT, {sandbox_init.VARIABLE: json.dumps(entering)})


def sandbox_pid(pid: int, uid: int) -> int:
    """The sandbox's first process (1 in its PID namespace), of the session that `pid` leads.

    Raises LookupError when there is none, or when it has not become `uid` yet: then the sandbox
    is still being built.
    """
    for member in procfs.members(pid):
        if procfs.is_init(member.pid, uid):
            return member.pid
    raise LookupError(f"process {pid} has no running sandbox")


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file in place when its content differs: a bind mount shows the inode, not the name."""
    if path.exists() and path.read_bytes() == content:
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
