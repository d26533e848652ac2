"""`tsujiban completion SHELL`: the script that makes a shell complete commands, kinds and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_TSUJIBAN_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script, e.g. `source <(tsujiban completion bash)`."""
    from tsujiban.cli.main import main

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(main, {}, "tsujiban", VARIABLE).source())
