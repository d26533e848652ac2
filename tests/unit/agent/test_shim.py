"""The shim with plain commands of this machine; with containers: tests/system/controller/live."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.wait import PATIENCE

from tsujiban.agent import shim
from tsujiban.agent.sandbox import SHIM
from tsujiban.local.waiting import until

TERMINAL = (
    "import os, sys; from tsujiban.agent.sandbox_init import take_terminal;"
    " take_terminal(os.getuid(), os.getgid()); os.execvp(sys.argv[1], sys.argv[1:])"
)


class Shimmed:
    """A command with a shim. Its directory's name is longer than a socket's address may be."""

    def __init__(
        self,
        directory: Path,
        *argv: str,
        opening: tuple[str, ...] = (sys.executable, "-c", TERMINAL),
        **config: bool,
    ) -> None:
        self.place = directory / ("x" * 120)
        self.place.mkdir()
        self.path = self.place / "c"
        words = {"terminal": False, "stdin": True, "once": False, **config}
        told = {"socket": str(self.path), "uid": os.getuid(), "gid": os.getgid(), **words}
        if words["terminal"]:
            argv = (*opening, *argv)
        self.log = directory / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*SHIM, *argv],
                env={**os.environ, shim.VARIABLE: json.dumps(told)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert until(self.path.exists, PATIENCE)
        self.clients: list[socket.socket] = []

    @property
    def said(self) -> str:
        return self.log.read_text()

    def says(self, text: str) -> None:
        assert until(lambda: text in self.said, PATIENCE), self.said

    def attach(self, greeting: bytes = shim.OPEN) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(PATIENCE)
        self.clients.append(client)
        assert until(lambda: self._connected(client), PATIENCE)
        assert client.recv(16) == greeting
        return client

    def _connected(self, client: socket.socket) -> bool:
        before = Path.cwd()
        os.chdir(self.place)
        try:
            client.connect("c")
        except ConnectionRefusedError:  # it is there, and does not listen yet
            return False
        finally:
            os.chdir(before)
        return True

    def ends(self) -> int:
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[list[Shimmed]]:
    found: list[Shimmed] = []
    yield found
    for one in found:
        one.close()


def start(made: list[Shimmed], tmp_path: Path, script: str, **config: Any) -> Shimmed:
    made.append(Shimmed(tmp_path, "sh", "-c", script, **config))
    return made[-1]


def test_one_clients_input_ends_when_it_says_so(made: list[Shimmed], tmp_path: Path) -> None:
    one = start(made, tmp_path, "cat; echo END; exit 7", once=True)
    client = one.attach()
    client.send(shim.INPUT + b"hello\n")
    one.says("hello\n")
    client.send(shim.END)
    assert one.ends() == 7
    assert one.said == "hello\nEND\n"
    assert client.recv(16) == b""  # it has ended


def test_after_that_nobody_else_has_an_input(made: list[Shimmed], tmp_path: Path) -> None:
    one = start(made, tmp_path, "cat; echo END; sleep 1000", once=True)
    first = one.attach()
    first.send(shim.END)
    one.says("END")
    second = one.attach(shim.CLOSED)
    second.send(shim.INPUT + b"late\n")  # is lost
    second.send(shim.SIZE + shim.DIMENSIONS.pack(1, 1))
    first.send(shim.END)


@pytest.mark.parametrize("once", [False, True])
def test_an_agent_that_is_killed_ends_no_input(made: list[Shimmed], tmp_path: Path, once: bool) -> None:
    one = start(made, tmp_path, "while read x; do echo $x; done; echo END", once=once)
    first = one.attach()
    first.send(shim.INPUT + b"one\n")
    first.close()
    second = one.attach()
    if not once:
        second.send(shim.END)
    second.send(shim.INPUT + b"two\n")
    one.says("two")
    assert one.said == "one\ntwo\n"


def test_what_is_not_read_is_not_taken_and_not_lost(made: list[Shimmed], tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"while [ ! -e {go} ]; do sleep 0.05; done; wc -c"
    one = start(made, tmp_path, script, once=True)
    client = one.attach()
    sent = 0
    client.settimeout(0.5)
    with suppress(TimeoutError):
        while sent < 100_000_000:
            sent += client.send(shim.INPUT + bytes(shim.MAX_INPUT)) - 1
    assert sent < 1_000_000
    status = Path(f"/proc/{one.process.pid}/status").read_text()
    assert int(status.split("VmRSS:")[1].split()[0]) < 40_000  # KiB
    others = [one.attach() for _ in range(shim.MAX_CLIENTS - 1)]
    one.attach(shim.BUSY)
    go.touch()
    client.settimeout(PATIENCE)
    client.send(shim.END)
    assert one.ends() == 0
    assert int(one.said) == sent
    assert len(others) == 15


def stuck(made: list[Shimmed], tmp_path: Path, once: bool = False) -> tuple[Shimmed, Path]:
    """A container that reads nothing until a file is there, and has been typed more than it has room for."""
    go = tmp_path / "go"
    one = start(made, tmp_path, f"while [ ! -e {go} ]; do sleep 0.05; done; cat", once=once)
    client = one.attach()
    client.settimeout(0.5)
    with suppress(TimeoutError):
        while True:
            client.send(shim.INPUT + bytes(shim.MAX_INPUT))
    return one, go


@pytest.mark.parametrize("once", [False, True])
def test_who_leaves_makes_room_also_while_nothing_is_read(
    made: list[Shimmed], tmp_path: Path, once: bool
) -> None:
    one, go = stuck(made, tmp_path, once)
    for _ in range(2):
        others = [one.attach() for _ in range(shim.MAX_CLIENTS - 1)]
        one.attach(shim.BUSY)
        for client in others:
            client.send(shim.SIZE + shim.DIMENSIONS.pack(1, 1))
            client.send(shim.END)  # as the agent does for one who leaves
            client.close()
    one.attach()
    if once:
        go.touch()
        assert one.ends() == 0


def test_what_was_typed_by_who_left_while_nothing_was_read_is_not_lost(
    made: list[Shimmed], tmp_path: Path
) -> None:
    one, go = stuck(made, tmp_path)
    client = one.attach()
    client.send(shim.INPUT + b"last words")
    client.close()
    one.attach()
    go.touch()
    one.says("last words")


def test_it_ends_as_its_command_does(made: list[Shimmed], tmp_path: Path) -> None:
    one = start(made, tmp_path, "kill -9 $$")
    assert one.ends() == 137


def test_signals_to_the_group_are_the_commands(made: list[Shimmed], tmp_path: Path) -> None:
    one = start(made, tmp_path, "trap 'echo term; exit 4' TERM; echo up; while :; do sleep 0.05; done")
    one.says("up")
    os.killpg(one.process.pid, signal.SIGTERM)
    assert one.ends() == 4


def test_the_command_may_open_its_input_again(made: list[Shimmed], tmp_path: Path) -> None:
    one = start(made, tmp_path, "exec cat /dev/stdin", once=True)
    client = one.attach()
    client.send(shim.INPUT + b"again")
    client.send(shim.END)
    assert one.ends() == 0
    assert one.said == "again"


def test_the_socket_is_private_and_a_message_that_is_none_ends_its_client(
    made: list[Shimmed], tmp_path: Path
) -> None:
    one = start(made, tmp_path, "sleep 1000")
    assert one.path.stat().st_mode & 0o777 == 0o600
    client = one.attach()
    client.send(b"?")
    assert client.recv(1) == b""
    assert one.attach().send(shim.INPUT + b"x")


def test_a_terminal(made: list[Shimmed], tmp_path: Path) -> None:
    script = "trap 'echo term; exit 4' TERM; stty size; while read x; do echo \"<$x>\"; stty size; done"
    one = start(made, tmp_path, script, terminal=True, once=True)
    client = one.attach()
    one.says("0 0")
    client.send(shim.SIZE + shim.DIMENSIONS.pack(33, 101))
    client.send(shim.END)  # of a terminal nothing ends
    client.send(shim.INPUT + b"hi\r")
    one.says("<hi>\n33 101")
    assert client.recv(16) == shim.NEWS
    os.killpg(one.process.pid, signal.SIGTERM)  # it leads a group of its own: this is passed on
    assert one.ends() == 4
    assert one.said.endswith("term\n")  # its last words


def test_what_a_terminals_clients_do_not_read_holds_nothing_up(made: list[Shimmed], tmp_path: Path) -> None:
    one = start(made, tmp_path, "read x; seq 200000; echo END", terminal=True)
    client = one.attach()
    client.send(shim.INPUT + b"\n")
    assert one.ends() == 0
    assert one.said.endswith("200000\nEND\n")


def test_a_terminal_that_its_command_closes_can_be_opened_again(made: list[Shimmed], tmp_path: Path) -> None:
    script = 'exec <&- >&- 2>&-; sleep 0.2; exec </dev/tty >/dev/tty; echo back; read x; echo "<$x>"'
    one = start(made, tmp_path, script, terminal=True)
    one.says("back")
    one.attach().send(shim.INPUT + b"here\n")
    assert one.ends() == 0
    assert "<here>" in one.said


def test_a_terminal_for_looking_at_only(made: list[Shimmed], tmp_path: Path) -> None:
    one = start(
        made,
        tmp_path,
        "trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done",
        terminal=True,
        stdin=False,
    )
    one.says("up")
    client = one.attach(shim.CLOSED)
    client.send(shim.INPUT + b"\x03")  # is not typed
    client.send(shim.SIZE + shim.DIMENSIONS.pack(7, 8))
    one.says("7 8")
    assert one.process.poll() is None


def test_without_a_place_for_its_socket_it_does_not_begin(tmp_path: Path) -> None:
    told = {"socket": str(tmp_path / "no" / "c"), "terminal": False, "stdin": True, "once": False}
    env = {**os.environ, shim.VARIABLE: json.dumps({**told, "uid": 0, "gid": 0})}
    done = subprocess.run([*SHIM, "true"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 126
    assert "tsujiban shim" in done.stderr


def test_a_container_that_ends_before_it_has_a_terminal_ends_as_it_does(
    made: list[Shimmed], tmp_path: Path
) -> None:
    made.append(Shimmed(tmp_path, "sh", "-c", "echo no sandbox >&2; exit 126", opening=(), terminal=True))
    assert made[-1].ends() == 126
    assert made[-1].said == "no sandbox\n"
