"""An Envoy hands over to the next; here Envoy is a shell script that says its epoch."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.wait import PATIENCE

from tsujiban.agent import proxy_init
from tsujiban.local.waiting import until

SAYS = 'echo "$2" >> "$(dirname "$0")/epochs"\n'


@contextmanager
def keeper(directory: Path, script: str) -> Iterator[subprocess.Popen[bytes]]:
    """A keeper of Envoys that do what `script` says; they are called with --restart-epoch N."""
    file = directory / "envoy"
    file.write_text(SAYS + script)
    command = proxy_init.keeper(["/bin/sh", str(file)])
    process = subprocess.Popen(command, env={"PATH": "/usr/bin:/bin"}, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def epochs(directory: Path) -> list[str]:
    found = directory / "epochs"
    return found.read_text().split() if found.exists() else []


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes that it has, the oldest first."""
    return [int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_a_second_one_joins_the_first_and_the_first_may_end(tmp_path: Path) -> None:
    script = 'if [ "$2" = 0 ]; then sleep 0.5; else exec sleep 60; fi\n'
    with keeper(tmp_path, script) as process:
        assert until(lambda: epochs(tmp_path) == ["0"], PATIENCE)
        process.send_signal(signal.SIGWINCH)
        assert until(lambda: epochs(tmp_path) == ["0", "1"], PATIENCE)
        assert until(lambda: len(children(process)) == 1, PATIENCE)
        assert process.poll() is None
        process.send_signal(signal.SIGWINCH)
        assert until(lambda: epochs(tmp_path) == ["0", "1", "2"], PATIENCE)


def test_one_that_fails_leaves_the_one_before_and_its_number_to_another(tmp_path: Path) -> None:
    """It may have begun to serve before it failed: then nobody does until another one has come."""
    script = 'if [ "$2" = 0 ] || [ -e "$(dirname "$0")/good" ]; then exec sleep 60; else exit 3; fi\n'
    with keeper(tmp_path, script) as process:
        assert until(lambda: epochs(tmp_path) == ["0"], PATIENCE)
        (first,) = children(process)
        process.send_signal(signal.SIGWINCH)
        assert until(lambda: len(epochs(tmp_path)) > 2, PATIENCE)
        (tmp_path / "good").touch()
        assert until(lambda: serves(process) > 1, PATIENCE)
        assert set(epochs(tmp_path)) == {"0", "1"}
        assert children(process)[0] == first


def serves(process: subprocess.Popen[bytes]) -> int:
    """How many of its processes have come to the end of their script."""
    found = (Path(f"/proc/{one}/cmdline").read_bytes() for one in children(process))
    return sum(line == b"sleep\x0060\x00" for line in found)


def test_when_the_one_before_ends_while_the_new_one_fails_all_is_over(tmp_path: Path) -> None:
    with keeper(tmp_path, 'if [ "$2" = 0 ]; then exec sleep 60; else exit 3; fi\n') as process:
        assert until(lambda: epochs(tmp_path) == ["0"], PATIENCE)
        (first,) = children(process)
        process.send_signal(signal.SIGWINCH)
        assert until(lambda: len(epochs(tmp_path)) > 1, PATIENCE)
        os.kill(first, signal.SIGKILL)
        assert process.wait(PATIENCE) in (3, 128 + signal.SIGKILL)


def test_it_ends_as_the_last_one_does(tmp_path: Path) -> None:
    with keeper(tmp_path, "exit 7\n") as process:
        assert process.wait(PATIENCE) == 7


def test_a_stop_is_handed_on(tmp_path: Path) -> None:
    with keeper(tmp_path, "exec sleep 60\n") as process:
        assert until(lambda: epochs(tmp_path) == ["0"] and serves(process) == 1, PATIENCE)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
