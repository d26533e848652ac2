import os
from pathlib import Path

import pytest

from tsujiban.supervise.process import Process, State
from tsujiban.supervise.spec import Listener, ProcessSpec, Restart


def _process(tmp_path: Path, *argv: str, **options: object) -> Process:
    values = {"name": "p", "argv": argv, "no_new_privs": False, **options}
    return Process(ProcessSpec.from_json(values), tmp_path / "p.log")


def _wait(process: Process) -> int:
    _, status = os.waitpid(process.pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_environment_is_exactly_what_was_given(tmp_path: Path) -> None:
    process = _process(tmp_path, "env", env={"A": "1"})
    process.start()
    assert _wait(process) == 0
    lines = process.log.read_text().split()
    assert "A=1" in lines
    assert {line.partition("=")[0] for line in lines} == {"A", "PATH"}


def test_leads_a_session_and_its_group_dies_with_it(tmp_path: Path) -> None:
    process = _process(tmp_path, "sh", "-c", "sleep 1000 & echo $!; exit 3")
    process.start()
    leader = process.pid
    assert os.getsid(leader) == leader
    code = _wait(process)
    orphan = int(process.log.read_text())
    delay = process.exited(code)
    assert (code, delay, process.state, process.pid) == (3, 0.2, State.BACKOFF, 0)
    for _ in range(1000):
        try:
            state = Path(f"/proc/{orphan}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            break
        if state == "Z":
            break
        os.sched_yield()
    else:
        pytest.fail("the rest of the group lives")


def test_listeners_are_passed_and_stay_open(tmp_path: Path) -> None:
    process = _process(
        tmp_path,
        "sh",
        "-c",
        "echo $LISTEN_FDS $LISTEN_FDNAMES; readlink /proc/self/fd/3 /proc/self/fd/4",
        listen=[Listener(address="127.0.0.1:0", name="a"), Listener(address="[::1]:0", name="b")],
    )
    process.open_listeners()
    try:
        for _ in range(2):
            process.start()
            assert _wait(process) == 0
    finally:
        process.close_listeners()
    lines = process.log.read_text().splitlines()
    assert lines[0] == "2 a:b"
    assert lines[1].startswith("socket:")
    assert lines[1] != lines[2]
    assert lines[:3] == lines[3:]


def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    process = _process(tmp_path, "/no/such/program")
    with pytest.raises(OSError, match="No such file"):
        process.start()
    assert process.rest(0.0, 127) == 0.2


def test_never_again(tmp_path: Path) -> None:
    process = _process(tmp_path, "false", restart=Restart.NEVER)
    process.start()
    assert process.exited(_wait(process)) is None
    status = process.status([])
    assert (status["state"], status["last_exit"], status["rss_bytes"]) == ("exited", 1, 0)


def test_what_the_kernel_kills_for_memory_is_known_of_each_incarnation(tmp_path: Path) -> None:
    events = tmp_path / "memory.events"
    process = _process(tmp_path, "true", oom=str(events))
    for before, after, killed in ((None, None, False), (3, 3, False), (3, 4, True), (4, 4, False)):
        if before is not None:
            events.write_text(f"oom 9\noom_kill {before}\n")
        process.start()
        if after is not None:
            events.write_text(f"oom 9\noom_kill {after}\n")
        process.exited(_wait(process))
        assert process.status([])["last_oom"] is killed
