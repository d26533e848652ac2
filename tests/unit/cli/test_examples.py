"""Every command has examples, and each of them is what the command takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from tsujiban.cli.examples import EXAMPLES, epilog, lines
from tsujiban.cli.main import COMMANDS, main


def commands() -> Iterator[str]:
    for name in sorted(COMMANDS):
        found = main.get_command(click.Context(main), name)
        if isinstance(found, click.Group):
            yield from (f"{name} {inner}" for inner in found.commands)
        else:
            yield name


def test_every_command_has_examples_and_there_are_no_others() -> None:
    assert set(commands()) == set(EXAMPLES)


@pytest.mark.parametrize(("name", "line"), [(name, line) for name in EXAMPLES for line, _ in EXAMPLES[name]])
def test_an_example_is_what_its_command_takes(name: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (click.Path, click.File):  # there are no such files
        monkeypatch.setattr(kind, "convert", lambda _self, value, _param, _context: value)
    words = shlex.split(line.partition(" > ")[0])
    assert words[0] == "tsujiban"
    group: click.Command = main
    context = main.make_context("tsujiban", words[1:])
    path = []
    while isinstance(group, click.Group):
        found, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        path.append(found)
        context = command.make_context(found, rest, parent=context)
        group = command
    assert " ".join(map(str, path)) == name


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_help_ends_with_them(name: str) -> None:
    text = CliRunner().invoke(main, [*name.split(), "--help"]).output
    assert text.rstrip().splitlines()[-len(lines(name)) :] == [f"    {line}" for line in lines(name)]


def test_nothing_is_said_of_what_has_none() -> None:
    assert epilog("create") is None
