import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE, until

from tsujiban.supervise.client import Refused, SupervisorClient, SupervisorGone
from tsujiban.supervise.spec import ProcessSpec


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "s"
    argv = [sys.executable, "-m", "tsujiban.supervise", "--socket", str(where), "--run-dir", str(tmp_path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield where
    if process.poll() is None:
        process.terminate()
    process.wait(PATIENCE)
    process.stdout.close()


def test_a_life(path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), SupervisorClient(path) as supervisor:
            events = supervisor.watch()
            assert (await anext(events)).event == "watching"
            spec = ProcessSpec(name="a", argv=("sleep", "1000"), backoff_initial=0.01)
            started = await supervisor.start(spec)
            first = await anext(events)
            assert (first.event, first.name, first.pid) == ("started", "a", started.pid)
            await supervisor.kill("a", signal.SIGKILL)
            seen = [await anext(events) for _ in range(3)]
            assert [event.event for event in seen] == ["exited", "backoff", "started"]
            assert (seen[0].last_exit, seen[2].restarts) == (-9, 1)
            await supervisor.stop("a")
            assert await supervisor.list() == []

    asyncio.run(main())


def test_another_specification_now_or_later(path: Path) -> None:
    async def main() -> None:
        async with SupervisorClient(path) as supervisor:
            one, two = (
                ProcessSpec(name="a", argv=("sleep", n), no_new_privs=False) for n in ("1000", "2000")
            )
            first = await supervisor.start(one)
            with pytest.raises(Refused, match="another specification"):
                await supervisor.start(two)
            assert (await supervisor.start(two, later=True)).pid == first.pid
            assert await supervisor.specification("a") == one
            await supervisor.start(one, later=True)
            assert (await supervisor.start(two, replace=True)).pid != first.pid
            assert await supervisor.specification("a") == two
            await supervisor.stop("a")

    asyncio.run(main())


def test_requests_run_beside_each_other(path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), SupervisorClient(path) as supervisor:
            deaf = path.parent / "deaf"
            argv = ("sh", "-c", f"trap '' TERM; : > {deaf}; while :; do sleep 0.05; done")
            await supervisor.start(ProcessSpec(name="slow", argv=argv, grace=3600))
            await until(deaf.exists)  # a signal before it is deaf would end it
            stopping = asyncio.create_task(supervisor.stop("slow"))
            await asyncio.sleep(0)  # the request is on its way, before the next one
            assert (await supervisor.status("slow")).state == "stopping"
            assert not stopping.done()
            await supervisor.kill("slow", signal.SIGKILL)
            await stopping
            with pytest.raises(Refused, match="slow"):
                await supervisor.status("slow")

    asyncio.run(main())


def test_nobody_there(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(SupervisorGone, match="no supervisor"):
            await SupervisorClient(tmp_path / "none").list()

    asyncio.run(main())


def test_a_shut_down_supervisor_is_gone(path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), SupervisorClient(path) as supervisor:
            await supervisor.shutdown()
            await until(lambda: not path.exists())
            with pytest.raises(SupervisorGone):
                await supervisor.list()

    asyncio.run(main())


def test_a_supervisor_that_dies_before_it_has_read_what_it_is_asked_is_gone(tmp_path: Path) -> None:
    """The kernel calls that a reset, and not the end."""

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "s"))
            listener.listen()
            events = SupervisorClient(tmp_path / "s").watch()
            first = asyncio.ensure_future(anext(events))
            with (await asyncio.to_thread(listener.accept))[0] as there:
                await asyncio.to_thread(there.recv, 1, socket.MSG_PEEK)  # it has been asked
            with pytest.raises(SupervisorGone, match="hung up"):
                await first

    asyncio.run(main())
