"""Findings for eyes: place, what is wrong, the line itself with a caret under the spot, the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import click
import msgspec

from tsujiban.cli.errors import Exit, Failure
from tsujiban.resources import positions
from tsujiban.resources.findings import Finding, Severity
from tsujiban.resources.load import LoadedObject

MARGIN = 100  # characters of a source line that are shown


def render(finding: Finding, sources: Mapping[str, bytes]) -> list[str]:
    """The lines to print; `sources` holds the files' contents by name."""
    place = ":".join(str(part) for part in (finding.file, finding.line, finding.column) if part)
    what = " ".join(part for part in (finding.object, finding.field) if part)
    severity = click.style(
        f"{finding.severity}:", fg="red" if finding.severity is Severity.ERROR else "yellow", bold=True
    )
    text = " ".join(part for part in (severity, f"{what}:" if what else "", finding.message) if part)
    code = click.style(f"[{finding.code}]", dim=True)
    lines = [f"{click.style(place + ':', bold=True)} {text} {code}" if place else f"{text} {code}"]
    if source := source_line(finding, sources):
        number = f"{finding.line} | "
        lines.append(f"    {number}{source}")
        if 0 < finding.column <= len(source) + 1:
            lines.append(" " * (4 + len(number) + finding.column - 1) + click.style("^", fg="red", bold=True))
    if finding.hint:
        lines.append(f"    remedy: {finding.hint}")
    return lines


def source_line(finding: Finding, sources: Mapping[str, bytes]) -> str:
    """The line that a finding is about; "" when it is not known or cannot be shown."""
    lines = sources.get(finding.file, b"").split(b"\n")
    if not 0 < finding.line <= len(lines):
        return ""
    text = lines[finding.line - 1].decode("utf-8", "replace").rstrip("\r")
    return text[:MARGIN].replace("\t", " ") if text.isprintable() or "\t" in text else ""


def show(findings: Iterable[Finding], sources: Mapping[str, bytes]) -> None:
    """Print all of them to standard error, in the order of the files."""
    for finding in sorted(findings, key=lambda one: (one.file, one.line, one.column)):
        for line in render(finding, sources):
            click.echo(line, err=True)


def placed(findings: Iterable[Finding], objects: Iterable[LoadedObject]) -> list[Finding]:
    """The server's findings with the place in the files, as exact as the field that each is about."""
    by_title = {one.title: one for one in objects}
    found = []
    for finding in findings:
        one = by_title.get(finding.object)
        if one is not None:
            place = one.position(positions.parse(finding.field))
            finding = msgspec.structs.replace(finding, file=one.file, line=place.line, column=place.column)
        found.append(finding)
    return found


def refusal(count: int) -> Failure:
    """The failure that follows errors in the input."""
    things = "1 error" if count == 1 else f"{count} errors"
    return Failure(f"{things}; nothing was changed", code=Exit.USAGE)
