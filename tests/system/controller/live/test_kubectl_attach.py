"""A container's own input and terminal: `run -i`, `run -it`, `attach -i`, with two kubectls."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import ENDS, WAIT, Kubectl, read_line
from tests.system.controller.live.test_kubectl_streams import (
    exit_code,
    set_size,
    typed,
    until_seen,
)

from tsujiban.local.cluster import LocalCluster
from tsujiban.local.waiting import until
from tsujiban.supervise.client import SupervisorClient

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ECHO = "while read line; do echo got $line; done; echo END; exec sleep 1000"


def run(client: Kubectl, name: str, *script: str, stdin: str) -> tuple[int, str]:
    argv = client.argv("run", name, "-i", "--rm", "--quiet", "--restart=Never", "--image=host", "--", *script)
    done = subprocess.run(
        argv,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=ENDS,
        check=False,
        env=client.environment,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("which", ["new", "old"])  # WebSocket and SPDY
def test_run_gives_a_pod_its_input_to_the_end_and_has_its_status(
    kubectl: Kubectl, old_kubectl: Kubectl, which: str
) -> None:
    client = old_kubectl if which == "old" else kubectl
    many = "".join(f"{number}\n" for number in range(30_000))  # more than a pipe holds
    code, said = run(
        client,
        f"adder-{which}",
        *("sh", "-c", "awk '{s += $1} END {print NR, s}'; exit 3"),
        stdin=many,
    )
    assert "30000 449985000" in said
    assert code == 3, said
    assert "not found" in kubectl("get", "pod", f"adder-{which}", code=1)


@contextmanager
def pod(kubectl: Kubectl, name: str, script: str, **fields: bool) -> Iterator[str]:
    container = {"name": "c", "image": "host", "command": ["sh", "-c", script], **fields}
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    try:
        kubectl("wait", "--for=condition=Ready", f"pod/{name}", WAIT)
        yield name
    finally:
        kubectl("delete", "pod", name, "--now")


@contextmanager
def attached(kubectl: Kubectl, *words: str) -> Iterator[subprocess.Popen[str]]:
    client = subprocess.Popen(
        kubectl.argv("attach", "-i", *words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=kubectl.environment,
    )
    try:
        yield client
    finally:
        client.kill()
        client.communicate()


def say(client: subprocess.Popen[str], line: str) -> None:
    assert client.stdin is not None
    client.stdin.write(line + "\n")
    client.stdin.flush()


def hears(client: subprocess.Popen[str], line: str) -> bool:
    """Whether it says that, after words of kubectl's own, before it ends."""
    while found := read_line(client):
        if found == line + "\n":
            return True
    return False


def test_an_input_stays_open_when_clients_come_and_go(kubectl: Kubectl) -> None:
    with pod(kubectl, "listener", ECHO, stdin=True) as name:
        with attached(kubectl, name) as first, attached(kubectl, name) as second:
            say(second, "zero")
            assert hears(second, "got zero")
            say(first, "one")
            assert hears(first, "got one")
            assert hears(second, "got one")  # both hear all
            say(second, "two")
            assert hears(first, "got two")
        with attached(kubectl, name) as third:
            say(third, "three")
            assert hears(third, "got three")
        assert kubectl("logs", name) == "got zero\ngot one\ngot two\ngot three\n"


def test_an_input_for_one_client_ends_with_it_and_not_with_an_agent(
    kubectl: Kubectl, live: LocalCluster
) -> None:
    with pod(kubectl, "once", ECHO, stdin=True, stdinOnce=True) as name:
        with attached(kubectl, name) as client:
            say(client, "one")
            assert hears(client, "got one")
            node = kubectl("get", "pod", name, "-o", "jsonpath={.spec.nodeName}")
            kill_agent(live, node)
            client.communicate(timeout=ENDS)  # its session ends with the agent

        def heard_again() -> bool:
            with attached(kubectl, name) as client:
                say(client, "two")
                return hears(client, "got two")  # and not that there is no agent yet

        assert until(heard_again, PATIENCE)  # and has left
        assert until(lambda: kubectl("logs", name).endswith("END\n"), PATIENCE)
        assert kubectl("logs", name) == "got one\ngot two\nEND\n"
        assert "is closed" in kubectl("attach", "-i", name, code=1)


def kill_agent(live: LocalCluster, node: str) -> None:
    async def kill() -> None:
        async with SupervisorClient(live.layout.supervisor_socket) as supervisor:
            await supervisor.kill(f"{node}/agent", signal.SIGKILL)

    asyncio.run(kill())


def test_a_container_without_input_says_so(pods: Kubectl) -> None:
    assert "made without `stdin: true`" in pods("attach", "-i", "talker", code=1)


def test_debug_makes_a_copy_and_no_ephemeral_container(pods: Kubectl) -> None:
    assert "ephemeral containers are disabled" in pods(
        "debug", "talker", "--image=host", "--", "true", code=1
    )
    more = ("--copy-to=copied", "--image=host", "--container=debugger", "--", "sleep", "1000")
    pods("debug", "talker", *more)
    try:
        pods("wait", "--for=condition=Ready", "pod/copied", WAIT)
        assert "talker" not in pods("exec", "copied", "-c", "debugger", "--", "hostname")
    finally:
        pods("delete", "pod", "copied", "--now")


@pytest.mark.parametrize("which", ["new", "old"])
def test_run_with_a_terminal(kubectl: Kubectl, old_kubectl: Kubectl, which: str) -> None:
    client = old_kubectl if which == "old" else kubectl
    words = (
        "run",
        f"shell-{which}",
        "-it",
        "--rm",
        "--restart=Never",
        "--image=host",
        "--",
        "bash",
        "--norc",
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execve(client.program, client.argv(*words), client.environment)  # noqa: S606 - of a fork
    try:
        set_size(terminal, 33, 101)
        until_seen(terminal, "see a command prompt")
        typed(terminal, "tty; echo $TERM $((6*7))\n")
        assert "/dev/pts/0" in until_seen(terminal, "xterm 42")
        set_size(terminal, 44, 102)
        os.kill(child, signal.SIGWINCH)

        def sized() -> bool:
            typed(terminal, "stty size; echo looked\n")
            return "44 102" in until_seen(terminal, "\nlooked")

        assert until(sized, PATIENCE)
        typed(terminal, "sleep 1000\n")
        running = ("exec", f"shell-{which}", "--", "ps", "-eo", "args")
        assert until(lambda: "sleep 1000" in kubectl(*running), PATIENCE)
        typed(terminal, "\x03")
        typed(terminal, "echo a''live\n")
        until_seen(terminal, "alive")
        typed(terminal, "exit 5\n")
        until_seen(terminal, "deleted")
        assert until(lambda: exit_code(child) is not None, PATIENCE)
        assert exit_code(child) == 5
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
