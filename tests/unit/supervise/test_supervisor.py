"""The supervisor on a loop of its own, with real processes; no root needed."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.wait import PATIENCE, until

from tsujiban.supervise import procfs
from tsujiban.supervise import supervisor as module
from tsujiban.supervise.process import Process
from tsujiban.supervise.spec import Listener, ProcessSpec, Restart
from tsujiban.supervise.supervisor import Event, Supervisor, SupervisorError, log_path


def _spec(name: str, *argv: str, **options: Any) -> ProcessSpec:
    return ProcessSpec.from_json({"name": name, "argv": argv, "no_new_privs": False, **options})


def _run(tmp_path: Path, body: Callable[[Supervisor, asyncio.Queue[Event]], Awaitable[None]]) -> None:
    async def main() -> None:
        supervisor = Supervisor(tmp_path)
        supervisor.attach()
        events: asyncio.Queue[Event] = asyncio.Queue()
        supervisor.watch(events.put_nowait)
        try:
            async with asyncio.timeout(PATIENCE):
                await body(supervisor, events)
        finally:
            await supervisor.shutdown()
            asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    asyncio.run(main())


async def _next(events: asyncio.Queue[Event], kind: str) -> Event:
    while (event := await events.get())["event"] != kind:
        pass
    return event


def test_start_is_idempotent_by_name_and_specification(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        spec = _spec("a", "sleep", "1000")
        first = await supervisor.start(spec)
        assert (await supervisor.start(spec))["pid"] == first["pid"]
        other = _spec("a", "sleep", "2000")
        with pytest.raises(SupervisorError, match="another specification"):
            await supervisor.start(other)
        replaced = await supervisor.start(other, replace=True)
        assert replaced["pid"] != first["pid"]
        assert [entry["name"] for entry in supervisor.list()] == ["a"]

    _run(tmp_path, body)


def test_what_is_to_be_otherwise_later_goes_on_and_is_so_at_its_next_start(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        first = await supervisor.start(_spec("a", "sleep", "1000", backoff_initial=0.01))
        other = _spec("a", "sh", "-c", "exit 7", backoff_initial=0.01, restart=Restart.NEVER)
        assert await supervisor.start(other, later=True) == supervisor.status("a")
        assert (await supervisor.start(other))["pid"] == first["pid"]
        assert supervisor.specification("a")["argv"] == ("sleep", "1000")
        supervisor.kill("a", signal.SIGKILL)
        assert [(await _next(events, "exited"))["last_exit"] for _ in range(2)] == [-9, 7]
        assert supervisor.specification("a") == other.to_json()
        assert (supervisor.status("a")["state"], supervisor.status("a")["restarts"]) == ("exited", 1)

    _run(tmp_path, body)


def test_what_was_to_be_otherwise_later_can_stay_as_it_is(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        spec = _spec("a", "sleep", "1000", backoff_initial=0.01)
        await supervisor.start(spec)
        await supervisor.start(_spec("a", "false"), later=True)
        await supervisor.start(spec, later=True)
        supervisor.kill("a", signal.SIGKILL)
        await _next(events, "exited")
        await _next(events, "started")
        assert supervisor.specification("a") == spec.to_json()

    _run(tmp_path, body)


def test_what_is_over_is_not_run_again_by_another_specification(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        mark = tmp_path / "again"
        await supervisor.start(_spec("job", "true", restart=Restart.NEVER))
        await _next(events, "exited")
        other = _spec("job", "touch", str(mark), restart=Restart.ALWAYS)
        assert (await supervisor.start(other, later=True))["state"] == "exited"
        assert (_drain(events), mark.exists()) == ([], False)

    _run(tmp_path, body)


@pytest.mark.parametrize("changed", [{"log": "/no/such/log"}, {"listen": [{"address": "127.0.0.1:9"}]}])
def test_what_needs_a_stop_is_refused_later(tmp_path: Path, changed: dict[str, Any]) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        await supervisor.start(_spec("a", "sleep", "1000"))
        with pytest.raises(SupervisorError, match=r"a: (log|listen): cannot change without a stop"):
            await supervisor.start(_spec("a", "sleep", "1000", **changed), later=True)

    _run(tmp_path, body)


def test_killed_processes_come_back_with_back_off(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        first = await supervisor.start(_spec("a", "sleep", "1000", backoff_initial=0.01))
        supervisor.kill("a", signal.SIGKILL)
        ended = await _next(events, "exited")
        assert ended["last_exit"] == -9
        assert (await _next(events, "backoff"))["delay"] == 0.01
        again = await _next(events, "started")
        assert again["restarts"] == 1
        assert supervisor.status("a")["pid"] == again["pid"] != first["pid"]

    _run(tmp_path, body)


def test_what_ended_for_good_is_not_started_by_a_repeated_start(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        spec = _spec("job", "true", restart=Restart.ON_FAILURE)
        await supervisor.start(spec)
        await _next(events, "exited")
        assert (await supervisor.start(spec))["state"] == "exited"
        with pytest.raises(SupervisorError, match="not running"):
            supervisor.kill("job", 15)
        await supervisor.stop("job")
        assert supervisor.list() == []

    _run(tmp_path, body)


def test_stop_kills_the_stubborn_and_what_it_started(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        script = "trap '' TERM; sleep 1000 & echo $!; while :; do wait; done"
        leader = (await supervisor.start(_spec("a", "sh", "-c", script, grace=0.3)))["pid"]
        log = log_path(tmp_path, "a")
        await until(lambda: log.exists() and bool(log.read_text()))
        begun = asyncio.get_running_loop().time()
        await supervisor.stop("a")
        assert asyncio.get_running_loop().time() - begun >= 0.29
        await until(lambda: not procfs.members(leader))

    _run(tmp_path, body)


def test_what_is_being_replaced_when_the_shutdown_begins_is_not_started(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        await supervisor.start(_spec("a", "sleep", "1000"))
        replacing = asyncio.create_task(supervisor.start(_spec("a", "sleep", "2000"), replace=True))
        await asyncio.sleep(0)  # it has told the old one to end
        await supervisor.shutdown()
        with pytest.raises(SupervisorError, match="shutting down"):
            await replacing
        assert supervisor.list() == []

    _run(tmp_path, body)


def test_shutdown_goes_by_order_and_refuses_new_ones(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        for name, order in (("controller", 0), ("agent", 10), ("bird", 3)):
            await supervisor.start(_spec(name, "sleep", "1000", order=order))
        await supervisor.shutdown()
        removed = [event["name"] for event in _drain(events) if event["event"] == "removed"]
        assert removed == ["agent", "bird", "controller"]
        with pytest.raises(SupervisorError, match="shutting down"):
            await supervisor.start(_spec("late", "true"))

    _run(tmp_path, body)


def _drain(events: asyncio.Queue[Event]) -> list[Event]:
    return [events.get_nowait() for _ in range(events.qsize())]


def test_a_program_that_cannot_be_run_is_tried_again(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        state = await supervisor.start(_spec("a", "/no/such/program", backoff_initial=0.01))
        assert state["state"] == "backoff"
        assert "No such file" in state["error"]
        await _next(events, "backoff")
        assert "No such file" in (await _next(events, "backoff"))["error"]

    _run(tmp_path, body)


def test_an_address_in_use_is_an_error_and_nothing_is_left(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        holder = _spec("a", "sleep", "1000", listen=[Listener(address="127.0.0.1:0")])
        await supervisor.start(holder)
        with pytest.raises(SupervisorError, match="cannot listen"):
            await supervisor.start(_spec("b", "sleep", "1", listen=[Listener(address="192.0.2.1:1")]))
        assert [entry["name"] for entry in supervisor.list()] == ["a"]

    _run(tmp_path, body)


def test_the_record_names_who_runs(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        state = await supervisor.start(_spec("a", "sleep", "1000"))
        entries = {entry["name"]: entry for entry in json.loads((tmp_path / "processes.json").read_text())}
        assert entries["supervisor"]["pid"] == os.getpid()
        assert entries["a"] == {"name": "a", "pid": state["pid"], "start_ticks": state["start_ticks"]}

    _run(tmp_path, body)


def test_unknown_names(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        await supervisor.stop("nobody")
        with pytest.raises(SupervisorError, match="nobody"):
            supervisor.status("nobody")

    _run(tmp_path, body)


def test_a_log_stays_unless_it_is_to_be_forgotten(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        for forget in (False, True):
            await supervisor.start(_spec("a/b", "sleep", "1000"))
            await supervisor.stop("a/b", forget_log=forget)
            assert log_path(tmp_path, "a/b").exists() is not forget

    _run(tmp_path, body)


def test_processes_come_back_when_the_record_cannot_be_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        await supervisor.start(_spec("a", "sleep", "1000", backoff_initial=0.01))
        (tmp_path / "processes.json").unlink()
        (tmp_path / "processes.json").mkdir()
        supervisor.kill("a", signal.SIGKILL)
        await _next(events, "backoff")
        assert (await _next(events, "started"))["restarts"] == 1

    _run(tmp_path, body)
    assert "cannot write" in capfd.readouterr().err


def test_what_needs_a_file_is_not_started_again_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NEED_SECONDS", 0.01)
    needed = tmp_path / "needed"

    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        await supervisor.start(_spec("a", "true", backoff_initial=0.01, needs=str(needed)))
        await _next(events, "backoff")
        looks = 0
        lacks = Process.lacks

        def counted(process: Process) -> bool:
            nonlocal looks
            looks += 1
            return lacks(process)

        monkeypatch.setattr(Process, "lacks", counted)
        await until(lambda: looks > 2)
        assert (supervisor.status("a")["state"], supervisor.status("a")["restarts"]) == ("backoff", 0)
        needed.touch()
        assert (await _next(events, "started"))["restarts"] == 1

    _run(tmp_path, body)


def test_what_waits_for_a_file_can_be_stopped(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, events: asyncio.Queue[Event]) -> None:
        await supervisor.start(_spec("a", "true", backoff_initial=0.0, needs=str(tmp_path / "none")))
        await _next(events, "backoff")
        await supervisor.stop("a")
        assert supervisor.list() == []

    _run(tmp_path, body)
