from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from tsujiban.agent.sandbox import Command
from tsujiban.cli.main import main

POD = {"metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "main"}]}}


class Local:
    def exec_command(self, namespace: str, pod: str, container: str, argv: tuple[str, ...]) -> Command:
        return Command(("enter", namespace, pod, container, *argv), {"ONLY": "this"})


@pytest.mark.parametrize("words", [("--", "ls", "-l"), ("ls", "-l")])
def test_it_becomes_the_command_with_its_environment_only(
    words: tuple[str, ...], serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[object] = []
    serve("execute", {("GET", "/api/v1/namespaces/default/pods/web-1"): POD})
    monkeypatch.setattr("tsujiban.cli.execute.open_local", lambda _cluster: Local())
    monkeypatch.setattr("tsujiban.cli.execute.os.execve", lambda *words: ran.append(words))
    result = CliRunner().invoke(main, ["exec", "web-1", *words])
    assert result.exit_code == 0, result.output
    argv = ("enter", "default", "web-1", "main", "ls", "-l")
    assert ran == [("enter", argv, {"ONLY": "this"})]
