"""The `tsujiban` command: a table of subcommands, each imported only when it is used.

Start-up time is a feature of an offline tool that runs in every pull request, so this module
imports nothing heavy; a subcommand's module does.
"""

from __future__ import annotations

import importlib

import click

# name -> ("module:attribute", one line of help)
COMMANDS: dict[str, tuple[str, str]] = {}


class LazyGroup(click.Group):
    """A group whose commands are looked up in `COMMANDS` and imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tsujiban")
def main() -> None:
    """One policy, one identity, enforced in the kernel and in Envoy."""
