"""Options that several offline commands have, with one meaning and one text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")


class Duration(click.ParamType[float]):
    """Seconds, or a duration as kubectl takes it: `30`, `1.5`, `30s`, `1m30s`."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds. Raises BadParameter."""
        if isinstance(value, int | float):
            return float(value)
        parts = _DURATION.findall(value)
        if parts and "".join(number + unit for number, unit in parts) == value:
            return sum(float(number) * _SECONDS[unit] for number, unit in parts)
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
            return float(value)
        raise click.BadParameter(f"{value!r} is no duration; write for example 30s or 1m30s", ctx, param)


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
