"""Options that several offline commands have, with one meaning and one text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

recursive_option = click.option(
    "-R", "--recursive", is_flag=True, help="Also the folders inside the folders of -f."
)
trust_domain_option = click.option(
    "--trust-domain", default="cluster.local", show_default=True, help="Trust domain of the mesh."
)
strict_option = click.option(
    "--strict",
    is_flag=True,
    help="As the running mesh: plaintext needs a PeerAuthentication, host endpoints have failsafe ports.",
)


def files_option(text: str, *, required: bool = True) -> Callable[[Command], Command]:
    """`-f`, which may be given again; the command gets a tuple of paths, `files`."""
    return click.option(
        "-f",
        "--filename",
        "files",
        multiple=True,
        required=required,
        type=click.Path(path_type=Path),
        help=text,
    )


def form_option(*forms: str) -> Callable[[Command], Command]:
    """`-o`; the first form is the usual one."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help="Form of the output.",
    )
