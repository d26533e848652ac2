"""First process of a sandbox: builds the file system view, takes every right away, execs.

Run as a script (`python -IS sandbox_init.py`) by `unshare` in fresh mount, UTS, IPC and PID
namespaces, as root; standard library only, because nothing else is imported in 12 ms. What to
do comes as JSON in one environment variable and not as arguments: the user's environment must
neither be seen by `ps` nor be in force while this is still root. A container's command and variables come
from a file of root's (`given`), which may be another at each start. With `enter` it joins the namespaces of a
running sandbox instead of building one.

The view: every top-level entry of the machine's root, read-only and nosuid, except that /run,
/tmp and root's home are empty, /dev holds harmless devices, /proc shows this sandbox's processes only, hidden
directories are empty, and the given mounts are in place.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import stat
import struct
import sys
import termios
from typing import Any, NoReturn

VARIABLE = "TSUJIBAN_SANDBOX"
TAKEN = ".taken"  # ends the name of what the incarnation that runs was given
BEFORE = ".before"  # ends the name of what the incarnation before has left as its last words
HOST = "/.host"  # the machine's root, while the view is being built
MAX_PROCESSES = 4096  # and threads, of all containers of a pod
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
PRIVATE = (
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "root",
    "lost+found",
)  # top-level names that are not the machine's

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
MNT_DETACH = 2
SYS_PIVOT_ROOT, SYS_MOUNT_SETATTR = {"x86_64": (155, 442), "aarch64": (41, 442)}[os.uname().machine]
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
ATTR_RDONLY, ATTR_NOSUID = 1, 2
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4
PR_SET_KEEPCAPS, CAPABILITY_VERSION_3 = 8, 0x20080522
SECCOMP_MODE_FILTER, FILTER_INSTRUCTION = 2, 8  # bytes of a struct sock_filter
MAX_DESCRIPTORS = 1 << 20
TIOCSPTLCK, TIOCGPTPEER = 0x40045431, 0x5441  # ioctl_tty(2); the termios module lacks them
NAMESPACES = ("net", "ipc", "uts", "pid", "mnt")  # order of entering: mnt last, /proc is needed before

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise OSError for a failed call of libc."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    )
    check(result, f"mount {target}")


def set_attributes(target: str, attributes: int, clear: int = 0) -> None:
    """mount_setattr(2), on the mount and everything below it."""
    block = (ctypes.c_uint64 * 4)(attributes, clear, 0, 0)
    arguments = (ctypes.c_long(AT_FDCWD), target.encode(), ctypes.c_long(AT_RECURSIVE), block)
    check(
        _libc.syscall(ctypes.c_long(SYS_MOUNT_SETATTR), *arguments, ctypes.c_size_t(32)),
        f"mount_setattr {target}",
    )


class View:
    """Builds the sandbox's root."""

    def __init__(self) -> None:
        self._skeletons = ["/"]  # tmpfs mounts that become read-only in the end

    def build(self, config: dict[str, Any]) -> None:
        """Everything, then leave the machine's root behind."""
        self._new_root(config["stage"])
        self._mirror("/", PRIVATE)
        for name, options in (
            ("run", "mode=755,size=16m"),
            ("tmp", "mode=1777,size=256m"),
            ("root", "mode=755,size=16m"),
        ):
            os.mkdir("/" + name)
            mount("tmpfs", "/" + name, "tmpfs", MS_NOSUID | MS_NODEV, options)
        self._devices()
        os.mkdir("/proc")
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        os.mkdir("/sys")
        mount("sysfs", "/sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mounts = sorted(config["mounts"], key=lambda item: str(item["target"]).count("/"))
        for (
            entry
        ) in mounts:  # all before the first is mounted, for what is put over a directory would hide it
            self._place(HOST + entry["source"], entry["target"])
        for entry in mounts:
            self._bind(HOST + entry["source"], entry["target"], bool(entry["writable"]))
        for path in config["hide"]:
            if os.path.isdir(path):
                mount("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "mode=755,size=4k")
        check(_libc.umount2(HOST.encode(), MNT_DETACH), "leave the machine's root")
        os.rmdir(HOST)
        for path in self._skeletons:
            mount("", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID)

    def _new_root(self, stage: str) -> None:
        mount("tmpfs", stage, "tmpfs", MS_NOSUID, "mode=755")
        os.mkdir(stage + HOST)
        os.chdir(stage)
        check(_libc.syscall(ctypes.c_long(SYS_PIVOT_ROOT), b".", HOST.encode()[1:]), "change to the new root")
        os.chdir("/")
        # a volume may hold links of its user's: following one must not change the machine
        set_attributes(HOST, ATTR_RDONLY)

    def _devices(self) -> None:
        os.mkdir("/dev")
        for name in DEVICES:
            self._bind(f"{HOST}/dev/{name}", f"/dev/{name}", writable=False)
        for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
            os.symlink("/proc/self/fd" + target, "/dev/" + name)
        os.symlink("pts/ptmx", "/dev/ptmx")
        os.mkdir("/dev/pts")
        mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,mode=620,ptmxmode=666")
        os.mkdir("/dev/shm")  # noqa: S108 - a new, private one
        mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m")  # noqa: S108

    def _mirror(self, directory: str, leave_out: tuple[str, ...] = ()) -> None:
        """Show the entries of the machine's `directory` in the empty tmpfs that is mounted there."""
        for entry in os.scandir(HOST + directory):
            target = os.path.join(directory, entry.name)
            if entry.name in leave_out or target == HOST:
                continue
            try:
                regular = entry.is_dir() or entry.is_file()
            except OSError:  # say, a file system whose server is gone: left out
                continue
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), target)
            elif regular:
                self._bind(entry.path, target, writable=False)

    def _bind(self, source: str, target: str, writable: bool) -> None:
        target = self._place(source, target)
        mount(source, target, "", MS_BIND | MS_REC)
        if writable:
            set_attributes(target, ATTR_NOSUID, ATTR_RDONLY)
        else:
            set_attributes(target, ATTR_NOSUID | ATTR_RDONLY)

    def _place(self, source: str, target: str) -> str:
        """Have something to mount `source` on; where that is."""
        target = os.path.realpath(target)
        self._make_place(target, stat.S_ISDIR(os.stat(source).st_mode))
        return target

    def _make_place(self, path: str, directory: bool) -> None:
        if os.path.exists(path):
            return
        parent = os.path.dirname(path)
        self._make_place(parent, True)
        try:
            _create(path, directory)
        except OSError:  # read-only: put a writable copy of the directory's outline over it
            mode = stat.S_IMODE(os.stat(parent).st_mode)
            mount("tmpfs", parent, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode:o}")
            self._skeletons.append(parent)
            self._mirror(parent)
            _create(path, directory)


def _create(path: str, directory: bool) -> None:
    if directory:
        os.mkdir(path, 0o755)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def enter(pid: int) -> None:
    """Join the namespaces of process `pid`; returns in a child that is in all of them."""
    descriptors = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in NAMESPACES]
    for descriptor, name in zip(descriptors, NAMESPACES, strict=True):
        check(_libc.setns(descriptor, 0), f"enter the {name} namespace of process {pid}")
        os.close(descriptor)
    child = os.fork()
    if child:
        _stand_in(child)


def take_terminal(uid: int, gid: int) -> None:
    """Become the leader of a session on a new terminal of this sandbox. Its other end goes over the
    Unix socket that is standard input; then the terminal is standard input, output and error."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    os.fchown(slave, uid, gid)
    with socket.socket(fileno=os.dup(0)) as asker:
        socket.send_fds(asker, [b"terminal"], [master])
    os.close(master)
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for number in (0, 1, 2):
        os.dup2(slave, number)
    os.close(slave)


def _stand_in(child: int) -> NoReturn:
    """The outer half of an entered process: hand on signals, end as the child ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda number, _: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


class FilterProgram(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class _Header(ctypes.Structure):
    """struct __user_cap_header_struct."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def _hold(capabilities: list[int]) -> None:
    """Have exactly these (each below 32), and hand them on to what is executed."""
    mask = sum(1 << number for number in capabilities)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; upper halves
    header = _Header(CAPABILITY_VERSION_3, 0)
    check(_libc.capset(ctypes.byref(header), sets), "set capabilities")
    for number in capabilities:
        check(_libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0), "raise an ambient capability")


def drop(uid: int, gid: int, forbidden: bytes, keep: list[int]) -> None:
    """Become `uid` with no capability but `keep`, no group but `gid`, no way to gain rights, no core
    dumps, no more than MAX_PROCESSES (the kernel counts them by user, and a pod's user is its own), and
    without the system calls that the seccomp program `forbidden` refuses."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    processes = MAX_PROCESSES if most == resource.RLIM_INFINITY else min(MAX_PROCESSES, most)
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    capability = 0
    while capability in keep or _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if not capability:
        raise OSError("cannot take capabilities away")
    check(_libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear ambient capabilities")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    check(_libc.prctl(PR_SET_KEEPCAPS, int(bool(keep)), 0, 0, 0), "keep capabilities")
    os.setresuid(uid, uid, uid)
    _hold(keep)
    check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs")
    # the change of user has cleared it: when `unshare` is killed, the sandbox must die
    check(_libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "set the parent-death signal")
    program = FilterProgram(len(forbidden) // FILTER_INSTRUCTION, forbidden)
    result = _libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)
    check(result, "filter system calls")


def settle(config: dict[str, Any]) -> None:
    """Take the place that `config` describes, and give up every right that it does not leave. Ends the
    process with 126 when that fails."""
    os.closerange(
        3, MAX_DESCRIPTORS
    )  # whatever an operator's shell had open is none of the sandbox's business
    os.umask(0o022)
    try:
        if config.get("attended"):
            check(_libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "set the parent-death signal")
        groups = [os.open(path + "/cgroup.procs", os.O_WRONLY) for path in config.get("cgroups", ())]
        if config.get("enter"):
            enter(int(config["enter"]))
        for group in groups:  # only now: of a command in a running sandbox its outer half stays outside
            os.write(group, b"0")
            os.close(group)
        if not config.get("enter"):
            View().build(config)
            socket.sethostname(config["hostname"])
        if config.get("terminal"):
            take_terminal(config["uid"], config["gid"])
        keep = [int(number) for number in config.get("keep", ())]
        drop(config["uid"], config["gid"], bytes.fromhex(config["forbidden"]), keep)
        os.chdir(config["cwd"] or "/")
    except OSError as error:
        print(f"tsujiban sandbox: {error}", file=sys.stderr, flush=True)
        os._exit(126)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and exec would keep that
        signal.signal(number, signal.SIG_DFL)


def become(argv: list[str], environment: dict[str, str]) -> NoReturn:
    """Execute a program in place of this one; 126 and 127 as of a shell when that fails."""
    try:
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def take(path: str) -> dict[str, Any]:
    """What is given at this start. It stays beside, for commands that are run in the container later: the
    file itself may be replaced by then."""
    beside = path + TAKEN + ".new"
    if os.path.lexists(beside):
        os.unlink(beside)
    os.link(path, beside)
    os.replace(beside, path + TAKEN)
    return taken(path)


def taken(path: str) -> dict[str, Any]:
    """What the incarnation that runs was given."""
    with open(path + TAKEN, encoding="ascii") as file:
        found: dict[str, Any] = json.load(file)
    return found


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """With what is given in a file: the words, where `config` has none, and variables besides its own. Ends
    the process with 126 when there is none."""
    path = config.get("given")
    if not path:
        return config
    try:
        given = taken(path) if config.get("enter") else take(path)
    except OSError as error:
        print(f"tsujiban sandbox: {error}", file=sys.stderr, flush=True)
        os._exit(126)
    return {"argv": given["argv"], **config, "env": {**config["env"], **given["env"]}}


def begin_message(path: str, uid: int, gid: int) -> None:
    """An empty file for the container's last words; those of the incarnation before it are kept beside it.
    Ends the process with 126 when there can be none."""
    try:
        if os.path.lexists(path):
            os.replace(path, path + BEFORE)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.fchown(descriptor, uid, gid)
        os.close(descriptor)
    except OSError as error:
        print(f"tsujiban sandbox: {error}", file=sys.stderr, flush=True)
        os._exit(126)


def main() -> NoReturn:
    """Do what the environment variable says."""
    config = complete(json.loads(os.environ.pop(VARIABLE)))
    if config.get("message"):
        begin_message(config["message"], config["uid"], config["gid"])
    settle(config)
    become(config["argv"], config["env"])


if __name__ == "__main__":
    main()
