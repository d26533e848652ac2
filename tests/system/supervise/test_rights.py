"""What a supervised process may do: namespace, user and capabilities, as the kernel sees them."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.support import machine
from tests.support.wait import PATIENCE, until

from tsujiban.supervise import procfs
from tsujiban.supervise.client import SupervisorClient
from tsujiban.supervise.netns import namespace_path
from tsujiban.supervise.spec import ProcessSpec, Restart

pytestmark = pytest.mark.system


def _output(**options: Any) -> str:
    async def main(socket: Path) -> str:
        async with SupervisorClient(socket) as supervisor:
            spec = ProcessSpec.from_json({"name": "p", "restart": Restart.NEVER, **options})
            state = await supervisor.start(spec)

            async def ended() -> bool:
                return (await supervisor.status("p")).state == "exited"

            await machine.until_async(ended)
            return await asyncio.to_thread(Path(state.log).read_text)

    with machine.supervisor() as (socket, _):
        return asyncio.run(main(socket))


def test_an_ordinary_user_with_one_capability() -> None:
    text = _output(
        argv=("cat", "/proc/self/status"),
        uid=300001,
        gid=300002,
        bounding=("net_bind_service",),
        ambient=("net_bind_service",),
    )
    assert "Uid:\t300001\t300001\t300001\t300001" in text
    assert "Gid:\t300002\t300002\t300002\t300002" in text
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert f"{name}:\t0000000000000400" in text
    assert "NoNewPrivs:\t1" in text
    assert "Groups:\t \n" in text


def test_root_with_few_capabilities() -> None:
    text = _output(argv=("cat", "/proc/self/status"), bounding=("net_admin",))
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert f"{name}:\t0000000000001000" in text


def test_inside_a_namespace() -> None:
    with machine.fabric() as fabric:
        inode = os.stat(namespace_path(fabric.namespace)).st_ino
        text = _output(argv=("readlink", "/proc/self/ns/net"), netns=namespace_path(fabric.namespace))
    assert text == f"net:[{inode}]\n"


def test_only_root_is_heard() -> None:
    with machine.supervisor() as (socket, run_dir):
        run_dir.chmod(0o755)
        socket.chmod(0o666)
        script = (
            "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(60); "
            f's.connect({str(socket)!r}); s.sendall(b\'{{"op": "list"}}\\n\'); print(s.recv(100))'
        )
        argv = [
            "setpriv",
            "--reuid=300001",
            "--regid=300001",
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            script,
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout in ("b''\n", "")
    assert done.stdout or "reset" in done.stderr or "Broken pipe" in done.stderr


def test_a_first_process_that_cannot_hear_the_stop_signal_does_not_use_up_its_grace() -> None:
    async def main(socket: Path) -> None:
        async with SupervisorClient(socket) as supervisor:
            argv = ("unshare", "--pid", "--fork", "--kill-child", "sleep", "1000")
            state = await supervisor.start(ProcessSpec(name="p", argv=argv, grace=60.0))
            await until(lambda: len(procfs.members(state.pid)) == 2)
            async with asyncio.timeout(PATIENCE):
                await supervisor.stop("p")
            assert procfs.members(state.pid) == []

    with machine.supervisor() as (socket, _):
        asyncio.run(main(socket))


def test_orphans_are_reaped_and_a_killed_supervisor_breaks_no_process() -> None:
    async def main(socket: Path) -> int:
        async with SupervisorClient(socket) as supervisor:
            state = await supervisor.start(
                ProcessSpec(name="p", argv=("sh", "-c", "echo x; exec sleep 1000"))
            )
            await supervisor.start(
                ProcessSpec(name="q", argv=("setsid", "-f", "true"), restart=Restart.NEVER)
            )
            supervising = procfs.stat(state.pid)
            assert supervising is not None
            await until(
                lambda: (
                    not [
                        entry
                        for entry in procfs.processes()
                        if entry.parent == supervising.parent and entry.state == "Z"
                    ]
                )
            )
            os.kill(supervising.parent, signal.SIGKILL)
            return state.pid

    with machine.supervisor() as (socket, _):
        survivor = asyncio.run(main(socket))
        state = procfs.stat(survivor)
        assert state is not None
        assert state.state != "Z"
        os.killpg(survivor, signal.SIGKILL)
