"""Connectivity for eyes and for other programs: text, Markdown, CSV and Graphviz.

Pure functions of the answer; the order is the answer's own, so equal policies give equal files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence

from tsujiban.policy.connectivity import Connectivity, Exposure, Group

HEADINGS = ("source", "destination", "connections")
NOTHING = "nothing is allowed"


def as_text(told: Connectivity) -> str:
    """One line a connection, in columns; then who is in the groups whose names are short for many."""
    lines: list[str] = []
    if told.exposure:
        lines += _exposure(told.exposure)
    else:
        lines += _columns([(c.source, c.destination, c.summary) for c in told.connections]) or [NOTHING]
    for group in _abbreviated(told.groups):
        lines += ["", f"{group.name}:", *(f"  {name}" for name in group.workloads)]
    return "\n".join(lines) + "\n"


def as_markdown(told: Connectivity) -> str:
    """A table that a pull request can show."""
    rows: Iterable[Sequence[str]]
    if told.exposure:
        head: Sequence[str] = ("workload", "direction", "the entire cluster", "outside")
        rows = ((e.group, e.direction, e.cluster or "nothing", _outside(e)) for e in told.exposure)
    else:
        head = HEADINGS
        rows = ((c.source, c.destination, c.summary) for c in told.connections)
    lines = [row(head), row(["---"] * len(head)), *map(row, rows)]
    for group in _abbreviated(told.groups):
        lines += ["", f"**{_cell(group.name)}**: {_cell(', '.join(group.workloads))}"]
    return "\n".join(lines) + "\n"


def as_csv(told: Connectivity) -> str:
    """One row a pair of members: groups are written out. What a spreadsheet would run as a formula is
    quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if told.exposure:
        writer.writerow(("workload", "direction", "peer", "connections"))
        for one in told.exposure:
            if one.cluster:
                writer.writerow(map(inert, (one.group, one.direction, "entire cluster", one.cluster)))
            for networks, words in one.outside.items():
                writer.writerow(map(inert, (one.group, one.direction, networks, words)))
        return out.getvalue()
    members = {group.name: group.workloads or (group.name,) for group in told.groups}
    writer.writerow(HEADINGS)
    for found in told.connections:
        for source in members[found.source]:
            for destination in members[found.destination]:
                if source != destination or len(members[found.source]) == 1:
                    writer.writerow(map(inert, (source, destination, found.summary)))
    return out.getvalue()


def as_dot(told: Connectivity) -> str:
    """A graph for Graphviz."""
    names = {group.name: f"n{at}" for at, group in enumerate(told.groups)}
    lines = ["digraph connectivity {", "  rankdir=LR;", '  node [shape=box, fontname="sans-serif"];']
    for group in told.groups:
        shape = "" if group.workloads else ", style=dashed"
        lines.append(f"  {names[group.name]} [label={_quoted(group.name)}{shape}];")
    for found in told.connections:
        label = _quoted(found.summary)
        lines.append(f"  {names[found.source]} -> {names[found.destination]} [label={label}];")
    return "\n".join([*lines, "}"]) + "\n"


def as_svg(told: Connectivity) -> str:
    """A picture, drawn without help."""
    from tsujiban.policy.connectivity_svg import draw

    return draw(told)


FORMS: dict[str, Callable[[Connectivity], str]] = {
    "txt": as_text,
    "md": as_markdown,
    "csv": as_csv,
    "dot": as_dot,
    "svg": as_svg,
}
"""Every form but JSON, which is the answer itself."""


def _abbreviated(groups: Iterable[Group]) -> Iterator[Group]:
    for group in groups:
        if group.workloads and ", ".join(group.workloads) != group.name:
            yield group


def _columns(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    if not rows:
        return []
    left = min(max(len(row[0]) for row in rows), 48)
    right = min(max(len(row[1]) for row in rows), 48)
    return [f"{source:<{left}} => {destination:<{right}} : {words}" for source, destination, words in rows]


def _exposure(exposures: Iterable[Exposure]) -> Iterator[str]:
    for one in exposures:
        way = "<=" if one.direction == "ingress" else "=>"
        yield f"{one.group} {way} entire cluster: {one.cluster or 'nothing'}"
        if not one.outside:
            yield f"{one.group} {way} outside: nothing"
        for networks, words in one.outside.items():
            yield f"{one.group} {way} {networks}: {words}"


def _outside(one: Exposure) -> str:
    return "; ".join(f"{networks}: {words}" for networks, words in one.outside.items()) or "nothing"


def row(cells: Iterable[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return escaped.replace("*", "\\*").replace("_", "\\_").replace("`", "\\`").replace("\n", " ")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def inert(text: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
