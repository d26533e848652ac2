from __future__ import annotations

import pytest
from click.testing import CliRunner

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.main import COMMANDS, main
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


@pytest.mark.parametrize("word", ["edit", "rollout", "label"])
def test_what_is_kubectls_says_so(word: str) -> None:
    result = CliRunner().invoke(main, [word, "deployment/web"])
    assert result.exit_code == 2
    assert f"`kubectl {word} ...`" in result.output
    assert "tsujiban kubeconfig --merge" in result.output


def test_a_command_that_is_not_there_has_neighbours() -> None:
    result = CliRunner().invoke(main, ["verson"])
    assert result.exit_code == Exit.USAGE
    assert "there is no command 'verson'" in result.output
    assert "Did you mean version" in result.output
    assert "lists the commands" in CliRunner().invoke(main, ["xyzzy"]).output
