from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.main import COMMANDS, _moved, flags, main
from tsujiban.local.client import ApiError
from tsujiban.local.unreachable import Unreachable


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_help_names_every_command_without_importing_any() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ApiError(404, {"message": "none"}), Exit.NO),
        (ApiError(422, {"message": "bad"}), Exit.USAGE),
        (ApiError(409, {"message": "conflict"}), Exit.REFUSED),
        (Unreachable("gone", "start it"), Exit.UNREACHABLE),
        (Failure("no", hint="do", code=Exit.NO), Exit.NO),
    ],
)
def test_errors_become_one_message_and_a_code(
    error: Exception, code: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_cluster: str) -> None:
        raise error

    monkeypatch.setattr("tsujiban.cli.status.connect", fail)
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == code
    assert result.output.startswith("error: ")
    assert "Traceback" not in result.output


def test_a_programming_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_cluster: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tsujiban.cli.status.connect", fail)
    assert isinstance(CliRunner().invoke(main, ["status"]).exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "pods", "--frob"], "no such option"),
        (["get", "pods", "-o", "xml"], "'xml' is not one of"),
        (["explain"], "missing argument"),
        (["status", "surplus"], "got unexpected extra argument"),
        (["--frob", "get"], "no such option"),
    ],
)
def test_a_wrong_command_line_is_one_message_and_what_to_write(words: list[str], said: str) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == Exit.USAGE
    message, hint = result.output.splitlines()
    assert message.startswith("error: ")
    assert said in message.lower()
    assert "--help` tells more" in hint


def test_options_before_the_command_and_flags_with_a_value() -> None:
    assert _moved(["-n", "shop", "get", "pods"]) == ["get", "-n", "shop", "pods"]
    assert _moved(["--kubeconfig", "f", "--cluster=a", "get"]) == ["--kubeconfig", "f", "get", "--cluster=a"]
    assert _moved(["-h"]) == ["-h"]
    command = main.get_command(click.Context(main), "delete")
    assert command is not None
    given = ["a", "--wait=false", "--force=true", "--force=false", "--cascade=orphan", "--", "--wait=false"]
    wanted = ["a", "--no-wait", "--force", "--cascade=orphan", "--", "--wait=false"]
    assert flags(command, given) == wanted


def test_a_command_that_is_not_there_has_neighbours() -> None:
    result = CliRunner().invoke(main, ["verson"])
    assert result.exit_code == Exit.USAGE
    assert "there is no command 'verson'" in result.output
    assert "Did you mean version" in result.output
    assert "lists the commands" in CliRunner().invoke(main, ["xyzzy"]).output


def test_a_context_without_its_file_is_not_passed_over() -> None:
    result = CliRunner().invoke(main, ["--context", "x", "status"])
    assert result.exit_code == Exit.USAGE
    assert "--kubeconfig FILE" in result.output
