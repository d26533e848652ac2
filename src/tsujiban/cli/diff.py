"""`tsujiban diff`: what two sets of manifests, or the running cluster and manifests, allow differently, and
why; a gate for pull requests."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.options import files_option, form_option, strict_option, trust_domain_option
from tsujiban.cli.session import cluster_option, namespace_option

if TYPE_CHECKING:
    from tsujiban.policy.diff import Change, Difference
    from tsujiban.policy.symbolic.blame import RuleRef

COLOURS = {"added": "green", "removed": "red", "changed": "yellow"}
MARKS = {"added": "+", "removed": "-", "changed": "~"}
ANY = "any"


@click.command()
@files_option(
    "Given twice: the old manifests, then the new ones. Once: beside the running cluster.", required=False
)
@click.option(
    "--old",
    "old",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Old manifests, a file or a folder; may be repeated.",
)
@click.option(
    "--new",
    "new",
    multiple=True,
    type=click.Path(path_type=Path),
    help="New manifests, a file or a folder; may be repeated.",
)
@click.option("-R", "--recursive", is_flag=True, help="Also the folders inside the folders.")
@click.option(
    "--fail-on",
    "fail_on",
    multiple=True,
    type=click.Choice([*MARKS, ANY]),
    help="Which differences end with exit code 1; may be repeated. Default: any.",
)
@trust_domain_option
@strict_option
@form_option("txt", "json", "md", "csv")
@namespace_option
@cluster_option
def diff(
    files: tuple[Path, ...],
    old: tuple[Path, ...],
    new: tuple[Path, ...],
    recursive: bool,
    fail_on: tuple[str, ...],
    trust_domain: str,
    strict: bool,
    form: str,
    namespace: str,
    cluster: str,
) -> None:
    """Print the connections that new manifests add, remove and change. Exit code 1: there are some.

    With one -f the running cluster is the old side, and the new side is the cluster with these applied.
    """
    from tsujiban.cli import offline, running
    from tsujiban.policy.diff import compare

    if len(files) == 1 and not old and not new:
        before, trust_domain = running.objects(cluster)
        given = offline.load(files, recursive=recursive)
        after, kept = running.applied(before, given, namespace)
        sides, strict = [before, after], True
        if kept:
            click.echo(f"note: taken as they run now: {', '.join(kept)}", err=True)
    else:
        sides = [offline.load(side, recursive=recursive) for side in _sides(files, old, new)]
    try:
        told = compare(*sides, trust_domain=trust_domain, strict=strict)
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    if form == "txt":
        for line in as_text(told):
            click.echo(line)
    else:
        sys.stdout.write(FORMS[form](told))
    kinds = set(fail_on or (ANY,))
    if any(ANY in kinds or change.what in kinds for change in told.changes):
        raise click.exceptions.Exit(Exit.NO)


def _sides(
    files: Sequence[Path], old: Sequence[Path], new: Sequence[Path]
) -> tuple[Sequence[Path], Sequence[Path]]:
    """Old and new. Raises Failure for any other use."""
    if files and not old and not new and len(files) == 2:
        return files[:1], files[1:]
    if len(files) == 1 and new and not old:
        return files, new
    if old and new and not files:
        return old, new
    raise Failure(
        "give two sides: -f OLD -f NEW, or --old OLD... --new NEW...",
        hint="`tsujiban diff -f NEW` compares with the running cluster, `kubectl diff -f NEW` its fields.",
        code=Exit.USAGE,
    )


# ---------------------------------------------------------------------- forms


def as_text(told: Difference) -> Iterator[str]:
    """For eyes: each change, then the rules on both sides."""
    if not told:
        yield "no difference"
    for change in told.changes:
        head = f"{MARKS[change.what]} {_ends(change)} : {_words(change)}"
        yield click.style(head, fg=COLOURS[change.what]) + (f"  ({change.note})" if change.note else "")
        for side, rules in (("old", change.old_rules), ("new", change.new_rules)):
            for rule in rules:
                yield f"    {side}: {_rule(rule)}"
    if told:
        counts = {what: sum(c.what == what for c in told.changes) for what in MARKS}
        yield ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def as_json(told: Difference) -> str:
    """The whole answer."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(told)).decode() + "\n"


def as_markdown(told: Difference) -> str:
    """A table for the pull request."""
    from tsujiban.policy.connectivity_forms import row

    if not told:
        return "No connection changes.\n"
    lines = [row(("", "source", "destination", "before", "after", "rules")), row(["---"] * 6)]
    for change in told.changes:
        rules = "; ".join(dict.fromkeys(map(_rule, (*change.old_rules, *change.new_rules))))
        what = f"{change.what}, {change.note}" if change.note else str(change.what)
        sides = (change.before or "nothing", change.after or "nothing")
        lines.append(row((what, ", ".join(change.sources), ", ".join(change.destinations), *sides, rules)))
    return "\n".join(lines) + "\n"


def as_csv(told: Difference) -> str:
    """One row a pair."""
    from tsujiban.policy.connectivity_forms import inert

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("change", "source", "destination", "before", "after", "oldRules", "newRules", "note"))
    for change in told.changes:
        rules = [" ".join(rule.id for rule in side) for side in (change.old_rules, change.new_rules)]
        for source in change.sources:
            for destination in change.destinations:
                cells = (change.what, source, destination, change.before, change.after, *rules, change.note)
                writer.writerow([inert(str(cell)) for cell in cells])
    return out.getvalue()


FORMS: dict[str, Callable[[Difference], str]] = {"json": as_json, "md": as_markdown, "csv": as_csv}


def _ends(change: Change) -> str:
    return f"{', '.join(change.sources)} => {', '.join(change.destinations)}"


def _words(change: Change) -> str:
    if change.before and change.after:
        parts = [
            f"{word} {text}"
            for word, text in (("now also", change.gained), ("no longer", change.lost))
            if text
        ]
        return f"{', '.join(parts)} (was {change.before}; is {change.after})"
    return change.after or change.before


def _rule(rule: RuleRef) -> str:
    text = f"{rule.verdict} by {rule.id}"
    if rule.place:
        text += f"  {rule.place}"
    elif rule.because:
        text += f"  because of {', '.join(rule.because)}"
    return text
