"""`tsujiban man`: manual pages, made from the commands themselves, so that they say what `--help` says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tsujiban.cli import examples
from tsujiban.cli.errors import Exit, Failure

CODES = {
    Exit.OK: "Done; or the answer is yes.",
    Exit.NO: "The answer is no: denied, unhealthy, not found.",
    Exit.USAGE: "Wrong use or bad input; nothing was changed.",
    Exit.UNREACHABLE: "There is no such cluster, or its API does not answer.",
    Exit.REFUSED: "The cluster refused, or did not get there in time.",
}


@click.command()
@click.argument("command", default="")
@click.option(
    "-d",
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write all pages below man1/ here.",
)
def man(command: str, directory: Path | None) -> None:
    """Print a manual page, e.g. `tsujiban man get | man -l -`, or install all of them:
    `tsujiban man -d /usr/local/share/man`."""
    pages = dict(all_pages())
    if directory is None:
        name = f"tsujiban-{command}" if command else "tsujiban"
        if name not in pages:
            raise Failure(f"there is no command {command!r}", hint="See `tsujiban --help`.", code=Exit.USAGE)
        click.echo(pages[name], nl=False)
        return
    place = directory / "man1"
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            (place / f"{name}.1").write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}", code=Exit.USAGE) from error
    click.echo(f"{len(pages)} pages are in {place}")


def all_pages() -> Iterator[tuple[str, str]]:
    """Name and text of every page: the program's, and one for each command."""
    from tsujiban.cli.main import COMMANDS, main

    context = click.Context(main, info_name="tsujiban", **main.context_settings)
    listed = [(f"tsujiban-{name}(1)", COMMANDS[name][1]) for name in sorted(COMMANDS)]
    yield "tsujiban", page("tsujiban", main, context, listed)
    for name in sorted(COMMANDS):
        found = main.get_command(context, name)
        if found is not None:
            yield from _pages(name, found, context, COMMANDS[name][1])


def _pages(
    name: str, command: click.Command, parent: click.Context, summary: str = ""
) -> Iterator[tuple[str, str]]:
    """The page of a command, and those of the commands below it."""
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent)
    title = f"tsujiban-{name.replace(' ', '-')}"
    below = command.commands if isinstance(command, click.Group) else {}
    listed = [(f"{title}-{inner}(1)", found.get_short_help_str(120)) for inner, found in below.items()]
    yield title, page(title, command, context, listed, examples.lines(name), summary)
    for inner, found in below.items():
        yield from _pages(f"{name} {inner}", found, context)


def page(
    name: str,
    command: click.Command,
    context: click.Context,
    listed: list[tuple[str, str]],
    shown: Sequence[str] = (),
    summary: str = "",
) -> str:
    """One page, in the macros of man(7)."""
    short = summary or command.get_short_help_str(120).partition(", e.g")[0]
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [
        f'.TH {name.upper()} 1 "" "Tsujiban" "Tsujiban"',
        ".SH NAME",
        f"{escaped(name)} \\- {escaped(short.rstrip('.'))}",
        ".SH SYNOPSIS",
        escaped(usage),
        ".SH DESCRIPTION",
        *paragraphs(command.help or ""),
    ]
    found = (one for one in command.params if isinstance(one, click.Option))
    options = [record for option in found if (record := option.get_help_record(context))]
    help_option = command.get_help_option(context)
    if help_option is not None and (record := help_option.get_help_record(context)):
        options.append(record)
    lines += section("OPTIONS", options)
    lines += section("COMMANDS", listed)
    if shown:
        lines += [".SH EXAMPLES", ".nf", *(escaped(line) for line in shown), ".fi"]
    lines += section("EXIT STATUS", [(str(int(code)), text) for code, text in CODES.items()])
    lines += section(
        "ENVIRONMENT",
        [
            ("TSUJIBAN_CLUSTER", "The cluster, where --cluster is not given."),
            ("TSUJIBAN_KUBECONFIG", "As --kubeconfig."),
            ("NO_COLOR", "No colours."),
        ],
    )
    others = [other for other in ("tsujiban(1)", *(term for term, _ in listed)) if other != f"{name}(1)"]
    lines += [".SH SEE ALSO", escaped(", ".join((*others, "kubectl(1)")))]
    return "\n".join(lines) + "\n"


def section(title: str, entries: list[tuple[str, str]]) -> list[str]:
    """A list with tags; nothing for an empty one."""
    if not entries:
        return []
    lines = [f".SH {title}"]
    for term, text in entries:
        lines += [".TP", f"\\fB{escaped(term)}\\fR", escaped(" ".join(text.split()))]
    return lines


def paragraphs(text: str) -> list[str]:
    """Help text in paragraphs; what stands in backquotes is bold."""
    lines: list[str] = []
    for part in re.split(r"\n\s*\n", text.replace("\b", "").strip()):
        words = escaped(" ".join(part.split()))
        lines += [".PP", re.sub(r"`([^`]+)`", r"\\fB\1\\fR", words)]
    return lines


def escaped(text: str) -> str:
    """Text that roff prints as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text
