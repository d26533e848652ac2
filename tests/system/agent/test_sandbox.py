"""Containers as the supervisor runs them: what they see, what they may do, how they end."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support import machine
from tests.support.wait import PATIENCE, until

from tsujiban.agent import containers, envfiles, probes
from tsujiban.agent.containers import Place
from tsujiban.agent.objects import Objects
from tsujiban.agent.sandbox import Command, exec_command, sandbox_pid
from tsujiban.agent.sandbox_init import MAX_PROCESSES, TAKEN
from tsujiban.network import namespaces, rtnetlink
from tsujiban.resources.kinds.core import ConfigMap, Pod
from tsujiban.supervise import procfs
from tsujiban.supervise.client import ProcessStatus, SupervisorClient
from tsujiban.supervise.netns import call_in
from tsujiban.supervise.spec import ProcessSpec

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
UID = 300_000 + 4242


def _pod(uid: str, container: dict[str, Any], volumes: list[dict[str, Any]] | None = None) -> Pod:
    spec = {
        "containers": [{"name": "c", "image": "host", **container}],
        "volumes": volumes or [],
        "automountServiceAccountToken": False,  # there is no controller here that would sign one
    }
    data = {"metadata": {"name": "web-1", "namespace": "shop", "uid": uid}, "spec": spec}
    return msgspec.convert(data, Pod)


class Running:
    """One started container."""

    def __init__(
        self, supervisor: SupervisorClient, spec: ProcessSpec, state: ProcessStatus, place: Place
    ) -> None:
        self.supervisor, self.spec, self.state, self.place = supervisor, spec, state, place
        self.log = Path(state.log)

    def execute(self, *argv: str) -> subprocess.CompletedProcess[str]:
        command = exec_command(self.spec, self.state.pid, argv)
        return subprocess.run(
            command.argv, env=command.env, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def sh(self, script: str) -> str:
        done = self.execute("sh", "-c", script)
        return done.stdout + done.stderr

    async def up(self) -> None:
        await until(self._inner)

    def _inner(self) -> bool:
        """Whether the container's own program runs, and not what prepares for it any more."""
        try:
            first = sandbox_pid(self.state.pid, UID)
        except LookupError:
            return False
        return b"sandbox_init" not in Path(f"/proc/{first}/cmdline").read_bytes()


@contextmanager
def _machine(pod: Pod, config_maps: dict[str, ConfigMap]) -> Iterator[tuple[Path, Place]]:
    with machine.supervisor() as (socket, run_dir):
        place = Place(
            cluster=machine.unique_cluster(),
            node="node-1",
            node_run=run_dir / "node-1",
            slot=4242,
            addresses=("10.244.0.5",),
            dns_address="10.96.0.10",
            objects=Objects(config_maps=config_maps),
        )
        sandbox = containers.sandbox_of(pod, place)
        try:
            yield socket, place
        finally:
            name = containers.process_name("node-1", pod.metadata.uid, "c")
            asyncio.run(_stop(socket, name))
            sandbox.remove()
            sandbox.remove()
            assert not namespaces.exists(sandbox.netns)
            assert not sandbox.directory.exists()


async def _stop(socket: Path, name: str) -> None:
    async with SupervisorClient(socket) as supervisor:
        await supervisor.stop(name)


def _with(
    container: dict[str, Any],
    body: Callable[[Running], Awaitable[None]],
    volumes: list[dict[str, Any]] | None = None,
    config_maps: dict[str, ConfigMap] | None = None,
) -> None:
    pod = _pod("u-1", container, volumes)

    async def main(socket: Path, place: Place) -> None:
        containers.prepare(pod, place, {})
        containers.prepare(pod, place, {})
        (plan,) = containers.plan(pod, place)
        assert plan.process is not None, plan.message
        envfiles.write(Path(plan.process.needs), *containers.given(pod, "c", place, ()))
        async with SupervisorClient(socket) as supervisor:
            state = await supervisor.start(plan.process)
            running = Running(supervisor, plan.process, state, place)
            async with asyncio.timeout(PATIENCE):
                await running.up()
                await body(running)

    with _machine(pod, config_maps or {}) as (socket, place):
        asyncio.run(main(socket, place))


SLEEP = {"command": ["sleep", "1000"]}


def test_it_is_nobody_and_can_become_nobody_else() -> None:
    async def body(running: Running) -> None:
        status = running.sh("cat /proc/1/status")
        assert f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}" in status
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert f"{name}:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        assert "Groups:\t \n" in status

    _with(SLEEP, body)


def test_an_exec_has_no_more_rights_than_the_container() -> None:
    async def body(running: Running) -> None:
        keep = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp")
        inside = [line for line in running.sh("cat /proc/1/status").splitlines() if line.startswith(keep)]
        executed = [
            line for line in running.sh("cat /proc/self/status").splitlines() if line.startswith(keep)
        ]
        assert executed == inside
        ours = running.sh("readlink /proc/self/ns/mnt /proc/self/ns/pid /proc/self/ns/net /proc/self/ns/uts")
        assert ours == running.sh("readlink /proc/1/ns/mnt /proc/1/ns/pid /proc/1/ns/net /proc/1/ns/uts")
        assert running.execute("sh", "-c", "exit 7").returncode == 7
        assert running.execute("sh", "-c", "kill -TERM $$").returncode == 128 + 15
        missing = running.execute("no-such-program")
        assert missing.returncode == 127
        assert "Traceback" not in missing.stderr

    _with(SLEEP, body)


def _run(command: Command, keep: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command.argv,
        env=command.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
        pass_fds=keep,
    )


FORBIDDEN = """
import ctypes, errno, fcntl, os, socket
def code(call):
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
libc = ctypes.CDLL(None, use_errno=True)
def unshare():
    if libc.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")
print(code(lambda: socket.socket(40, socket.SOCK_STREAM)), code(unshare))
print(code(lambda: fcntl.ioctl(0, 0x5412, b"x")))
print(code(lambda: socket.socket()), code(lambda: socket.socketpair()))
# the keyring of whoever started the supervisor, which all would share; bpf; perf_event_open
calls = {"x86_64": (248, 249, 250, 321, 298), "aarch64": (217, 218, 219, 280, 241)}[os.uname().machine]
def ask(number):
    if libc.syscall(number, 0, 0, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "refused")
print(*{code(lambda: ask(number)) for number in calls})
"""


def test_no_way_past_the_network_namespace_and_into_other_rights() -> None:
    async def body(running: Running) -> None:
        done = running.execute("/usr/bin/python3", "-I", "-c", FORBIDDEN)
        assert done.stdout.split() == ["EAFNOSUPPORT", "EPERM", "EPERM", "done", "done", "EPERM"], done.stderr

    _with(SLEEP, body)


def test_an_exec_takes_no_open_files_along() -> None:
    async def body(running: Running) -> None:
        command = exec_command(running.spec, running.state.pid, ("sh", "-c", "ls /proc/$$/fd"))
        directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            done = await asyncio.to_thread(_run, command, (directory,))
        finally:
            os.close(directory)
        assert done.stdout.split() == ["0", "1", "2"]

    _with(SLEEP, body)


def test_it_sees_its_own_processes_only() -> None:
    async def body(running: Running) -> None:
        pids = [int(name) for name in running.sh("ls /proc").split() if name.isdecimal()]
        assert min(pids) == 1
        assert len(pids) <= 4
        assert "No such process" in running.sh(f"kill -0 {os.getpid()}") or os.getpid() in pids

    _with(SLEEP, body)


def test_the_machine_is_read_only_and_tsujiban_out_of_sight() -> None:
    async def body(running: Running) -> None:
        for path in ("/x", "/usr/x", "/etc/x", "/var/x", "/home/x", "/dev/x", "/sys/x"):
            assert "Read-only" in running.sh(f"touch {path}"), path
        assert running.sh("ls -A /run /root").split() == ["/root:", "/run:"]
        assert running.sh("ls -A /var/lib/tsujiban 2>/dev/null") == ""
        assert running.sh("touch /tmp/a /dev/shm/b && echo ok") == "ok\n"
        assert not _on_machine("/tmp/a")  # noqa: S108  # the container's /tmp is its own
        devices = set(running.sh("ls /dev").split())
        assert not {"kmsg", "mem", "vda", "sda", "loop0", "net"} & devices

    _with(SLEEP, body)


def test_it_cannot_use_up_the_machine() -> None:
    async def body(running: Running) -> None:
        limits = running.sh("cat /proc/1/limits")
        assert f"Max processes             {MAX_PROCESSES}" in limits
        assert "Max core file size        0 " in limits
        done = running.sh("head -c 300000000 /dev/zero > /tmp/big; stat -c %s /tmp/big")
        assert "No space left" in done
        assert int(done.split()[0]) <= 256 * 1024 * 1024

    _with(SLEEP, body)


def test_names_and_files_of_the_pod() -> None:
    async def body(running: Running) -> None:
        assert running.sh("hostname; cat /etc/hostname") == "web-1\nweb-1\n"
        assert running.sh("cat /etc/resolv.conf").splitlines()[0].startswith("search shop.svc.cluster.local")
        assert "10.244.0.5\tweb-1" in running.sh("cat /etc/hosts")

    _with(SLEEP, body)


def test_volumes() -> None:
    async def body(running: Running) -> None:
        assert running.sh("stat -c '%a %u' /data /var/lib/app/deep; cat /apps/a.py") == (
            f"700 {UID}\n700 {UID}\nprint(1)\n"
        )
        assert running.sh("echo 1 > /data/x; cat /var/lib/app/deep/x") == "1\n"
        assert "Read-only" in running.sh("echo 1 > /apps/a.py")
        assert "Read-only" in running.sh("touch /var/lib/x")
        assert "dpkg" in running.sh("ls /var/lib")
        assert not _on_machine("/var/lib/app")

    volumes = [{"name": "data", "emptyDir": {}}, {"name": "apps", "configMap": {"name": "apps"}}]
    mounts = [
        {"name": "data", "mountPath": "/data"},
        {"name": "data", "mountPath": "/var/lib/app/deep"},
        {"name": "apps", "mountPath": "/apps", "readOnly": True},
    ]
    config_maps = {"apps": ConfigMap(data={"a.py": "print(1)\n"})}
    _with({**SLEEP, "volumeMounts": mounts}, body, volumes, config_maps)


def test_a_link_in_a_volume_cannot_make_root_change_the_machine() -> None:
    trap = Path(f"/var/tmp/tsujiban-trap-{os.getpid()}")  # noqa: S108  # must not come to be

    async def body(running: Running) -> None:
        running.sh(f"ln -s /.host{trap} /data/inner")
        await running.supervisor.stop(running.spec.name)
        await running.supervisor.start(running.spec)
        await until(lambda: running.log.exists())
        pod = _pod(
            "u-1",
            {
                **SLEEP,
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data"},
                    {"name": "other", "mountPath": "/data/inner/x"},
                ],
            },
            [{"name": "data", "emptyDir": {}}, {"name": "other", "emptyDir": {}}],
        )
        containers.prepare(pod, running.place, {})
        (plan,) = containers.plan(pod, running.place)
        assert plan.process is not None
        again = await running.supervisor.start(plan.process, replace=True)
        await until(lambda: bool(procfs.members(again.pid)) or Path(again.log).stat().st_size > 0)
        await running.supervisor.stop(plan.process.name)
        assert not _on_machine(trap)

    try:
        _with(
            {**SLEEP, "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
            body,
            [{"name": "data", "emptyDir": {}}],
        )
    finally:
        shutil.rmtree(trap, ignore_errors=True)


def test_killing_it_kills_all_of_it() -> None:
    async def body(running: Running) -> None:
        await until(lambda: len(procfs.members(running.state.pid)) == 5)
        session = procfs.members(running.state.pid)
        os.kill(running.state.pid, 9)
        for member in session:
            await until(lambda pid=member.pid: _gone(pid))  # type: ignore[misc]  # bound at once

    _with({"command": ["sh", "-c", "setsid sleep 1000 & sleep 1000 & sleep 1000"]}, body)


def _on_machine(path: Path | str) -> bool:
    return os.path.lexists(path)


def _gone(pid: int) -> bool:
    state = procfs.stat(pid)
    return state is None or state.state in "ZX"


def test_probes_ask_inside_the_pod() -> None:
    async def body(running: Running) -> None:
        path = containers.sandbox_of(_pod("u-1", {}), running.place).netns_path
        _up(path)
        http = probes.Probe(port=8080, http=True, timeout=PATIENCE)
        await until(lambda: probes.check_port(path, http) == "")
        assert await probes.run(http, path) == ""
        assert await probes.run(probes.Probe(port=8080, timeout=PATIENCE), path) == ""
        assert "refused" in await probes.run(probes.Probe(port=8081, timeout=PATIENCE), path)
        for command, fine in ((("true",), True), (("false",), False)):
            probe = probes.Probe(command=command, timeout=PATIENCE)
            executed = exec_command(running.spec, running.state.pid, command)
            assert (await probes.run(probe, path, executed) == "") is fine

    argv = ["/usr/bin/python3", "-m", "http.server", "--directory", "/tmp", "8080"]  # noqa: S108
    _with({"command": argv}, body)


def _up(path: str) -> None:
    call_in(path, lambda: rtnetlink.send([rtnetlink.set_up(1)]))


def test_what_cannot_be_run_says_so_in_its_log() -> None:
    async def body(running: Running) -> None:
        await until(lambda: b"no-such" in running.log.read_bytes())
        assert b"Traceback" not in running.log.read_bytes()

    pod = _pod("u-1", {"command": ["/no-such-program"]})

    async def main(socket: Path, place: Place) -> None:
        containers.prepare(pod, place, {})
        (plan,) = containers.plan(pod, place)
        assert plan.process is not None
        envfiles.write(Path(plan.process.needs), *containers.given(pod, "c", place, ()))
        async with SupervisorClient(socket) as supervisor:
            state = await supervisor.start(plan.process)
            await body(Running(supervisor, plan.process, state, place))

    with _machine(pod, {}) as (socket, place):
        asyncio.run(main(socket, place))


def test_secrets_of_the_environment_are_in_nobodys_arguments() -> None:
    async def body(running: Running) -> None:
        assert running.sh("echo $TOKEN") == "hidden-42\n"
        for member in procfs.members(running.state.pid):
            assert "hidden-42" not in machine.run("cat", f"/proc/{member.pid}/cmdline")
        assert "hidden-42" not in json.dumps(running.spec.to_json())
        given = Path(running.spec.needs)
        for path in (given, given.with_name(given.name + TAKEN)):
            assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (0, 0o600)
        assert given.parent.stat().st_mode & 0o777 == 0o700

    _with({**SLEEP, "env": [{"name": "TOKEN", "value": "hidden-42"}]}, body)


def test_a_restart_takes_what_is_given_then_and_a_command_what_the_container_has() -> None:
    async def body(running: Running) -> None:
        raw = {"TOKEN": "second", "RAW": "\udcff", **{f"BIG_{number}": "x" * 100_000 for number in range(4)}}
        envfiles.write(Path(running.spec.needs), ("sleep", "1001"), raw)
        assert running.sh("echo $TOKEN; tr '\\0' ' ' < /proc/1/cmdline") == "first\nsleep 1000 "
        await running.supervisor.kill(running.spec.name, signal.SIGKILL)
        await until(lambda: "second" in Path(running.spec.needs + TAKEN).read_text())
        running.state = await running.supervisor.status(running.spec.name)
        assert running.state.restarts == 1
        await running.up()
        assert running.sh("echo $TOKEN; tr '\\0' ' ' < /proc/1/cmdline") == "second\nsleep 1001 "
        assert running.sh("printf %s $RAW | od -An -tx1; echo ${#BIG_3}").split() == ["ff", "100000"]

    _with({**SLEEP, "env": [{"name": "TOKEN", "value": "first"}]}, body)
