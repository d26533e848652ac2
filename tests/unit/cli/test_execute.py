from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from tsujiban.cli.main import main

POD = {"metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "main"}, {"name": "other"}]}}
PATH = "/api/v1/namespaces/default/pods/web-1"


@pytest.fixture
def ran(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []

    def run(_access: object, path: str, parameters: object, **flags: bool) -> tuple[int, str]:
        found.append((path, parameters, flags))
        return 7, ""

    serve("execute", {("GET", PATH): POD})
    monkeypatch.setattr("tsujiban.cli.execute.run", run)
    return found


@pytest.mark.parametrize("words", [("--", "ls", "-l"), ("ls", "-l")])
def test_what_is_asked_of_the_server(words: tuple[str, ...], ran: list[Any]) -> None:
    result = CliRunner().invoke(main, ["exec", "web-1", *words])
    assert result.exit_code == 7, result.output
    parameters = [("command", "ls"), ("command", "-l"), ("container", "main")]
    parameters += [("stdout", "true"), ("stderr", "true")]
    assert ran == [(f"{PATH}/exec", parameters, {"stdin": False, "tty": False})]


def test_options_may_follow_the_pod_when_it_is_said_where_the_command_begins(ran: list[Any]) -> None:
    CliRunner().invoke(main, ["exec", "web-1", "-c", "other", "-i", "--", "sh", "-c", "id", "--", "-x"])
    ((_, parameters, flags),) = ran
    words = [value for name, value in parameters if name == "command"]
    assert words == ["sh", "-c", "id", "--", "-x"]
    assert ("container", "other") in parameters
    assert flags["stdin"]
    wrong = CliRunner().invoke(main, ["exec", "web-1", "--nothing", "--", "id"])
    assert (wrong.exit_code, len(ran)) == (2, 1)


def test_a_terminal_has_no_stderr_of_its_own(ran: list[Any]) -> None:
    CliRunner().invoke(main, ["exec", "-it", "-c", "other", "web-1", "--", "bash"])
    ((_, parameters, flags),) = ran
    assert parameters == [
        ("command", "bash"),
        ("container", "other"),
        ("stdin", "true"),
        ("stdout", "true"),
        ("tty", "true"),
    ]
    assert flags == {"stdin": True, "tty": True}


def test_no_command(ran: list[Any]) -> None:
    result = CliRunner().invoke(main, ["exec", "web-1", "--"])
    assert (result.exit_code, ran) == (2, [])
