"""Tables in kubectl's manner: aligned words, no lines, so that `awk` works and an eye does too."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
from rich.cells import cell_len

GAP = 3
GOOD = {"Running", "Ready", "True", "Active", "healthy", "allow", "Available", "Enforced", "Bound"}
BAD = {"CrashLoopBackOff", "Failed", "Error", "False", "NotReady", "unhealthy", "deny", "ImagePullBackOff"}


def layout(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Pad every cell but the last of a row to its column's width in terminal cells; no titles, no head."""
    table = [[plain(cell) for cell in row] for row in ([titles] if titles else [])]
    table += [[plain(cell) for cell in row] for row in rows]
    widths = [max(cell_len(cell) for cell in column) for column in zip(*table, strict=True)]
    return [
        [
            cell if i == len(row) - 1 else cell + " " * (widths[i] - cell_len(cell) + GAP)
            for i, cell in enumerate(row)
        ]
        for row in table
    ]


def show(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; states are coloured on a terminal."""
    lines = layout(titles, rows)
    if titles:
        click.secho("".join(lines.pop(0)).rstrip(), bold=True, color=colour())
    for line in lines:
        styled = [click.style(cell, fg=hue(cell)) if hue(cell) else cell for cell in line]
        click.echo("".join(styled).rstrip(), color=colour())


def plain(text: str) -> str:
    """The text as a terminal may be shown it. What others have written could move its cursor or show other
    words than are there: such characters are shown as Python escapes them."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def hue(cell: str) -> str:
    """Colour of a state; "" for anything else."""
    word = cell.strip()
    return "green" if word in GOOD else "red" if word in BAD else ""


def colour() -> bool | None:
    """False when colour was declined (NO_COLOR, https://no-color.org); None: only on a terminal."""
    return False if os.environ.get("NO_COLOR") or not sys.stdout.isatty() else None
