"""An undocumented command or option fails here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tsujiban.cli.main import COMMANDS, main

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
SECTIONS = {
    re.split(r"\s", part, maxsplit=1)[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
}


def options() -> Iterator[tuple[str, str]]:
    for name in sorted(COMMANDS):
        command = main.get_command(click.Context(main), name)
        assert command is not None
        inner = command.commands.values() if isinstance(command, click.Group) else [command]
        for one in inner:
            for parameter in one.params:
                if isinstance(parameter, click.Option) and not parameter.hidden:
                    for text in (*parameter.opts, *parameter.secondary_opts):
                        yield name, text


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_a_section(name: str) -> None:
    assert name in SECTIONS


def test_every_option_is_in_its_commands_section() -> None:
    missing = [
        (name, text) for name, text in options() if not re.search(rf"`{re.escape(text)}[ `]", SECTIONS[name])
    ]
    assert missing == []


def test_every_exit_code_is_documented() -> None:
    from tsujiban.cli.errors import Exit

    assert all(f"| {int(code)} |" in PAGE for code in Exit)
