"""logs, exec, attach, cp and port-forward: kubectl 1.35 in both its ways, WebSocket and SPDY."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import Kubectl, read_line

from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

BARE_SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
WAYS = [{}, BARE_SPDY]


@pytest.mark.parametrize("way", WAYS, ids=["websocket", "spdy"])
def test_exec_passes_streams_and_status(pods: Kubectl, way: dict[str, str]) -> None:
    assert pods("exec", "-i", "talker", "--", "tr", "a-z", "A-Z", stdin="hello", env=way) == "HELLO"
    said = pods("exec", "talker", "--", "sh", "-c", "echo out; echo err >&2; exit 7", code=7, env=way)
    assert said.splitlines()[:2] == ["out", "err"]
    many = "0123456789" * 300_000
    assert pods("exec", "-i", "talker", "--", "cat", stdin=many, env=way) == many


def test_what_runs_in_a_container_has_its_rights_and_no_more(pods: Kubectl) -> None:
    own = pods("exec", "talker", "--", "cat", "/proc/1/status")
    other = pods("exec", "talker", "--", "cat", "/proc/self/status")
    for field in ("Uid", "Gid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp"):
        line = re.compile(rf"^{field}:.*$", re.MULTILINE)
        assert line.search(own)[0] == line.search(other)[0]  # type: ignore[index]
    assert pods("exec", "talker", "--", "readlink", "/proc/self/ns/net", "/proc/self/ns/pid") == pods(
        "exec", "talker", "--", "readlink", "/proc/1/ns/net", "/proc/1/ns/pid"
    )


@pytest.mark.parametrize("way", WAYS, ids=["websocket", "spdy"])
def test_a_terminal_is_one_of_the_containers_own_and_has_the_windows_size(
    pods: Kubectl, way: dict[str, str]
) -> None:
    # that of the test before is let go of a moment after its command has ended
    assert until(lambda: pods("exec", "talker", "--", "ls", "/dev/pts") == "ptmx\n", PATIENCE)
    child, terminal = pty.fork()
    if child == 0:
        os.execve(  # noqa: S606 - the child half of a fork
            pods.program, pods.argv("exec", "-it", "talker", "--", "bash"), pods.environment | way
        )
    try:
        typed(terminal, "tty; stty size; echo $((6*7))\n")
        text = until_seen(terminal, "42")
        assert "/dev/pts/0" in text
        set_size(terminal, 33, 101)
        os.kill(child, signal.SIGWINCH)
        assert until(lambda: "33 101" in asked(terminal, "stty size\n"), PATIENCE)
        typed(terminal, "sleep 1000\n")
        assert until(lambda: "sleep 1000" in processes(pods), PATIENCE)
        typed(terminal, "\x03")  # ctrl-C goes to what runs there, and not to kubectl
        assert until(lambda: "alive" in asked(terminal, "echo a''live\n"), PATIENCE)
        typed(terminal, "exit 5\n")
        until_seen(terminal, "exit code 5")
        assert until(lambda: exit_code(child) is not None, PATIENCE)  # closing the terminal would kill it
        assert exit_code(child) == 5
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def typed(terminal: int, text: str) -> None:
    os.write(terminal, text.encode())


def seen(terminal: int, seconds: float) -> str:
    if not select.select([terminal], [], [], seconds)[0]:
        return ""
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # the other end is closed
        return ""


def asked(terminal: int, text: str) -> str:
    typed(terminal, text)
    time.sleep(0.3)
    return seen(terminal, 1)


def until_seen(terminal: int, text: str, seconds: float = PATIENCE) -> str:
    found, end = "", time.monotonic() + seconds
    while text not in found:
        assert time.monotonic() < end, found
        found += seen(terminal, 0.5)
    return found


def exit_code(child: int) -> int | None:
    """With what a child ended, which stays there to be waited for; None while it runs."""
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if ended is None else ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def set_size(terminal: int, rows: int, columns: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_a_command_ends_with_its_client(pods: Kubectl) -> None:
    client = pods.start("exec", "talker", "--", "sleep", "4711")
    try:
        assert until(lambda: "4711" in processes(pods), PATIENCE)
    finally:
        client.kill()
        client.communicate()
    assert until(lambda: "4711" not in processes(pods), PATIENCE)


def processes(pods: Kubectl) -> str:
    return pods("exec", "talker", "--", "ps", "-eo", "args")


def test_exec_is_refused_in_words(pods: Kubectl) -> None:
    assert "not found" in pods("exec", "nobody", "--", "id", code=1)
    assert "container nope" in pods("exec", "talker", "-c", "nope", "--", "id", code=1)
    assert "nonsense" in pods("exec", "talker", "--", "nonsense", code=127)


def test_logs(pods: Kubectl) -> None:
    assert pods("logs", "talker", "--limit-bytes=9") == "line 1\nli"
    assert len(pods("logs", "talker", "--tail=2").splitlines()) == 2
    for line in pods("logs", "talker", "--timestamps", "--tail=3").splitlines():
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line \d+", line)
    assert pods("logs", "talker", "--since-time=2099-01-01T00:00:00Z") == ""
    # lines that were heard together have one time
    assert until(lambda: "line 1\n" not in pods("logs", "talker", "--since=1s"), PATIENCE)
    assert "line" in pods("logs", "-l", "app=talker", "--prefix").splitlines()[0]


def test_the_log_of_the_incarnation_before(pods: Kubectl) -> None:
    assert until(lambda: restarts(pods) > 0, PATIENCE)
    assert until(lambda: pods("logs", "again", "-p") == "begins\nends\n", PATIENCE)
    # it has been started again, and says so when its turn comes
    assert until(lambda: pods("logs", "again").count("begins") == 1, PATIENCE)
    assert "no log of an incarnation before" in pods("logs", "talker", "-p", code=1)


def restarts(pods: Kubectl) -> int:
    status = json.loads(pods("get", "pod", "again", "-o", "json"))["status"]
    return sum(one["restartCount"] for one in status.get("containerStatuses", ()))


def test_following_a_log(pods: Kubectl) -> None:
    follower = pods.start("logs", "-f", "talker", "--tail=1")
    try:
        lines = [read_line(follower) for _ in range(4)]
    finally:
        follower.kill()
        follower.communicate()
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + 4))


def test_following_a_log_with_its_times(pods: Kubectl) -> None:
    for options in (["--tail=1"], ["--since=1m"], []):
        follower = pods.start("logs", "-f", "--timestamps", "talker", *options)
        try:
            lines = [read_line(follower).split() for _ in range(4)]
        finally:
            follower.kill()
            follower.communicate()
        numbers = [int(line[2]) for line in lines]
        assert numbers == list(range(numbers[0], numbers[0] + 4))
        times = [line[0] for line in lines]
        assert times == sorted(times)
        assert all(moment.endswith("Z") and "T" in moment for moment in times)


def test_attaching_is_hearing_from_now_on(pods: Kubectl) -> None:
    client = pods.start("attach", "talker")
    try:
        assert until(lambda: read_line(client).startswith("line "), PATIENCE)
    finally:
        client.kill()
        client.communicate()


def test_copying_both_ways(pods: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(os.urandom(300_000))
    pods("cp", str(tmp_path / "there"), "talker:/tmp/there")
    pods("cp", "talker:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "there").read_bytes()


@pytest.mark.parametrize("way", WAYS, ids=["websocket", "spdy"])
def test_port_forward(pods: Kubectl, way: dict[str, str]) -> None:
    client = pods.start("port-forward", "pod/web", ":8080", env=way)
    try:
        line = read_line(client)
        port = int(re.search(r"127\.0\.0\.1:(\d+) -> 8080", line)[1])  # type: ignore[index]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE) as http:
            for _ in range(3):
                assert "sources.list" in http.get("/").text
        first = socket.create_connection(("127.0.0.1", port))
        second = socket.create_connection(("127.0.0.1", port))
        with first, second:  # two at a time
            for one in (second, first):
                one.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert one.recv(100).startswith(b"HTTP/1.0 200")
    finally:
        client.kill()
        client.communicate()


def test_a_port_that_nobody_listens_on(pods: Kubectl) -> None:
    client = pods.start("port-forward", "pod/web", ":81")
    try:
        port = int(re.search(r"127\.0\.0\.1:(\d+) -> 81", read_line(client))[1])  # type: ignore[index]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            assert connection.recv(1) == b""
        assert until(lambda: "Connection refused" in read_line(client), PATIENCE)
    finally:
        client.kill()
        client.communicate()
