from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tsujiban.cli import options
from tsujiban.cli.options import (
    files_option,
    form_option,
    recursive_option,
    strict_option,
    trust_domain_option,
)


@click.command()
@files_option("Files.", required=False)
@recursive_option
@trust_domain_option
@strict_option
@form_option("txt", "json")
def command(**given: object) -> None:
    click.echo(given)


def test_they_have_the_names_that_commands_take() -> None:
    told = CliRunner().invoke(command, [], catch_exceptions=False).output
    usual = {"files": (), "recursive": False, "trust_domain": "cluster.local", "strict": False, "form": "txt"}
    assert told == f"{usual}\n"
    words = ["-f", "a", "--filename", "b", "-R", "--trust-domain", "t", "--strict", "-o", "json"]
    told = CliRunner().invoke(command, words, catch_exceptions=False).output
    given = {
        "files": (Path("a"), Path("b")),
        "recursive": True,
        "trust_domain": "t",
        "strict": True,
        "form": "json",
    }
    assert told == f"{given}\n"


def test_another_form_is_refused() -> None:
    assert CliRunner().invoke(command, ["-o", "svg"]).exit_code == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30.0), ("1.5", 1.5), ("30s", 30.0), ("1h1m30s", 3690.0), ("500ms", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert options.Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "5x", "5m x", "-3s", "1d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write for example 30s"):
        options.Duration().convert(text, None, None)
