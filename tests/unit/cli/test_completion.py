"""Completion as real shells do it, those that are on this machine; and what they are told."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from tsujiban.cli.complete import kinds, targets
from tsujiban.cli.completion import Bash
from tsujiban.cli.get import get
from tsujiban.cli.main import COMPLETE, main

SECONDS = 60.0
INTERACTIVE = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(tsujiban completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u -D; source <(tsujiban completion zsh)"),
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """`tsujiban` in the PATH, and nothing of the user's."""
    program = tmp_path / "tsujiban"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -W ignore -m tsujiban "$@"\n')
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "TERM": "dumb", "LC_ALL": "C.UTF-8"}


class Terminal:
    """A shell at a terminal: types, and reads until it sees what is awaited."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, text: str) -> None:
        deadline = time.monotonic() + SECONDS
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen!r}"
            if select.select([self._master], [], [], left)[0]:
                self.seen += os.read(self._master, 4096).decode(errors="replace")


@contextmanager
def terminal(argv: list[str], environment: dict[str, str]) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        argv, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    try:
        yield Terminal(master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


@pytest.mark.parametrize("shell", INTERACTIVE)
def test_the_tabulator_completes_commands_kinds_and_options(shell: str, environment: dict[str, str]) -> None:
    argv, load = INTERACTIVE[shell]
    with terminal(argv, environment) as at:
        at.type(f"{load}; echo loa''ded\n")
        at.until("loaded")
        at.type("tsujiban kubec\t")
        at.until("kubeconfig")
        at.type("\x15tsujiban get configm\t")
        at.until("configmaps")
        at.type("\x15tsujiban logs web --timest\t")
        at.until("--timestamps")


def test_fish_completes_too(environment: dict[str, str]) -> None:
    script = "tsujiban completion fish | source; complete -C 'tsujiban get configm'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert "configmaps" in done.stdout, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert f"{COMPLETE}={shell}_complete" in result.output


@pytest.mark.parametrize(
    ("line", "before", "incomplete"),
    [
        ("tsujiban", [], ""),
        ("tsujiban ", [], ""),
        ("tsujiban ge", [], "ge"),
        ("tsujiban get pods ", ["get", "pods"], ""),
        ("tsujiban get clusterrole system:no", ["get", "clusterrole"], "system:no"),
        ("tsujiban get --output=js", ["get"], "--output=js"),
        ("tsujiban get 'a b' c", ["get", "a b"], "c"),
    ],
)
def test_bash_gives_the_line_up_to_the_cursor(
    line: str, before: list[str], incomplete: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_WORDS", line)
    assert Bash(main, {}, "tsujiban", COMPLETE).get_completion_args() == (before, incomplete)


def test_kinds_that_share_a_name_get_their_group() -> None:
    context, parameter = get.make_context("get", ["pods"]), get.params[0]
    words = [item.value for item in kinds(context, parameter, "networkpol")]
    assert words == ["networkpolicies", "networkpolicies.projectcalico.org"]


def test_without_a_cluster_names_complete_to_nothing() -> None:
    context, parameter = get.make_context("get", ["pods", "--cluster", "nowhere"]), get.params[0]
    assert targets(context, parameter, "we") == []
