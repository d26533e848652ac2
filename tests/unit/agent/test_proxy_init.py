"""An Envoy hands over to the next; here Envoy is a shell script that says its epoch."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsujiban.agent import proxy_init
from tsujiban.local.waiting import until

KEEPER = """
import sys
sys.path.insert(0, sys.argv[1])
import proxy_init
sys.exit(proxy_init.Keeper(["/bin/sh", sys.argv[2]], {"PATH": "/usr/bin:/bin"}).run())
"""
SAYS = 'echo "$2" >> "$(dirname "$0")/epochs"\n'


@contextmanager
def keeper(directory: Path, script: str) -> Iterator[subprocess.Popen[bytes]]:
    """A keeper of Envoys that do what `script` says; they are called with --restart-epoch N."""
    file = directory / "envoy"
    file.write_text(SAYS + script)
    here = str(Path(proxy_init.__file__).parent)
    process = subprocess.Popen([sys.executable, "-c", KEEPER, here, str(file)], start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def epochs(directory: Path) -> list[str]:
    found = directory / "epochs"
    return found.read_text().split() if found.exists() else []


def children(process: subprocess.Popen[bytes]) -> int:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return len(listed.split())


def test_a_second_one_joins_the_first_and_the_first_may_end(tmp_path: Path) -> None:
    script = 'if [ "$2" = 0 ]; then sleep 0.5; else exec sleep 60; fi\n'
    with keeper(tmp_path, script) as process:
        assert until(lambda: epochs(tmp_path) == ["0"], 10)
        process.send_signal(signal.SIGWINCH)
        assert until(lambda: epochs(tmp_path) == ["0", "1"], 10)
        assert until(lambda: children(process) == 1, 10)
        assert process.poll() is None
        process.send_signal(signal.SIGWINCH)
        assert until(lambda: epochs(tmp_path) == ["0", "1", "2"], 10)


def test_one_that_fails_leaves_the_one_before_and_its_number_to_the_next(tmp_path: Path) -> None:
    script = 'if [ "$2" = 0 ]; then exec sleep 60; else exit 3; fi\n'
    with keeper(tmp_path, script) as process:
        assert until(lambda: epochs(tmp_path) == ["0"], 10)
        for count in (2, 3):
            process.send_signal(signal.SIGWINCH)
            assert until(lambda wanted=count: len(epochs(tmp_path)) == wanted, 10)  # type: ignore[misc]
            assert until(lambda: children(process) == 1, 10)
        assert epochs(tmp_path) == ["0", "1", "1"]
        assert process.poll() is None


def test_it_ends_as_the_last_one_does(tmp_path: Path) -> None:
    with keeper(tmp_path, "exit 7\n") as process:
        assert process.wait(10) == 7


def test_a_stop_is_handed_on(tmp_path: Path) -> None:
    with keeper(tmp_path, "exec sleep 60\n") as process:
        assert until(lambda: epochs(tmp_path) == ["0"] and children(process) == 1, 10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 256 - signal.SIGTERM
