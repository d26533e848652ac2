"""`tsujiban completion SHELL`: the script that makes a shell complete commands, kinds and names.

For zsh and fish it is click's. Bash breaks words at `:` and `=` before a completion function sees them, and
names such as `system:node` would complete to nonsense: ours reads the line itself, and gives back only what
bash has not kept.
"""

from __future__ import annotations

import os

import click
from click.shell_completion import BashComplete, add_completion_class, get_completion_class
from click.shell_completion import split_arg_string as split

from tsujiban.cli.main import COMPLETE

_BASH = r"""%(complete_func)s() {
    local line=${COMP_LINE:0:$COMP_POINT} word kept type value
    word=${line##*[[:space:]]}
    kept=${word%%"${word##*[:=]}"}
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
        dir) compopt -o dirnames ;;
        file) compopt -o default ;;
        plain)
            [[ $value == */ ]] && compopt -o nospace
            COMPREPLY+=("${value#"$kept"}")
            ;;
        esac
    done < <(COMP_WORDS=$line %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


@add_completion_class
class Bash(BashComplete):
    """Reads the whole line up to the cursor."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and the beginning of that one."""
        line = os.environ["COMP_WORDS"]
        words = split(line)[1:]
        incomplete = "" if line[-1:].isspace() or not words else words.pop()
        return words, incomplete


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script, e.g. `source <(tsujiban completion bash)`."""
    from tsujiban.cli.main import main

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(main, {}, "tsujiban", COMPLETE).source())
