"""Connectivity as a picture: boxes in columns, arrows with what they carry. No other program needed.

A layered layout: sources stand left of what they reach, as far as circles allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from tsujiban.policy.connectivity import Connection, Connectivity, Group

CHARACTER = 7.2  # width of one, in pixels, at 12 pixels of monospace
HEIGHT, GAP, MARGIN = 34, 26, 24
LABEL = 44  # most characters of an arrow's label
NAME = 40  # most characters of a box's

STYLE = (
    "text{font:12px ui-monospace,monospace;fill:#1c2733}"
    ".b{fill:#eef3f8;stroke:#54708c}.o{fill:#fff7e8;stroke:#b07d2b;stroke-dasharray:4 3}"
    ".e{fill:none;stroke:#7b8ea1;stroke-width:1.3}.l{font-size:11px;fill:#33475b;paint-order:stroke;"
    "stroke:#fff;stroke-width:4px}"
)


class Box(NamedTuple):
    """One group, placed."""

    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        """Where arrows start and end."""
        return self.y + HEIGHT / 2


def draw(told: Connectivity) -> str:
    """The picture as SVG."""
    used = {name for c in told.connections for name in (c.source, c.destination)}
    groups = [g for g in told.groups if g.workloads or g.name in used]
    columns = _columns(groups, told.connections)
    boxes, width, height = _placed(columns, told.connections)
    by_name = {g.name: g for g in groups}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">',
        "<title>Allowed connections</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="#7b8ea1"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    labels = []
    for number, found in enumerate(told.connections):
        line, label = _arrow(boxes[found.source], boxes[found.destination], found.summary, number)
        parts.append(line)
        labels.append(label)
    for name, box in boxes.items():
        kind = "b" if by_name[name].workloads else "o"
        parts.append(
            f'<g><title>{escape(name)}</title><rect class="{kind}" x="{box.x:.0f}" y="{box.y:.0f}" '
            f'width="{box.width:.0f}" height="{HEIGHT}" rx="6"/><text x="{box.x + box.width / 2:.0f}" '
            f'y="{box.middle + 4:.0f}" text-anchor="middle">{escape(_cut(name, NAME))}</text></g>'
        )
    return "\n".join([*parts, *labels, "</svg>"]) + "\n"


def _columns(groups: Sequence[Group], connections: Iterable[Connection]) -> list[list[str]]:
    """Longest way from a source, ignoring arrows that close a circle."""
    edges: dict[str, list[str]] = {g.name: [] for g in groups}
    for found in connections:
        if found.source != found.destination:
            edges[found.source].append(found.destination)
    order: list[str] = []
    state: dict[str, int] = {}
    back: set[tuple[str, str]] = set()
    incoming = {name: sum(name in others for others in edges.values()) for name in edges}
    for start in sorted(edges, key=lambda n: (incoming[n], n)):
        stack = [(start, iter(edges[start]))] if start not in state else []
        state.setdefault(start, 1)
        while stack:
            name, rest = stack[-1]
            for other in rest:
                if other not in state:
                    state[other] = 1
                    stack.append((other, iter(edges[other])))
                    break
                if state[other] == 1:
                    back.add((name, other))
            else:
                state[name] = 2
                order.append(name)
                stack.pop()
    depth = dict.fromkeys(edges, 0)
    for name in reversed(order):
        for other in edges[name]:
            if (name, other) not in back:
                depth[other] = max(depth[other], depth[name] + 1)
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for group in groups:
        columns[depth[group.name]].append(group.name)
    return columns


def _placed(
    columns: Sequence[Sequence[str]], connections: Sequence[Connection]
) -> tuple[dict[str, Box], float, float]:
    longest = max((len(_cut(c.summary, LABEL)) for c in connections), default=0)
    between = longest * CHARACTER * 0.92 + 60
    boxes: dict[str, Box] = {}
    tallest = max((len(names) for names in columns), default=0)
    rows = HEIGHT + GAP
    x = float(MARGIN)
    for names in columns:
        width = max((len(_cut(n, NAME)) for n in names), default=0) * CHARACTER + 24
        y = MARGIN + HEIGHT + (tallest - len(names)) * rows / 2
        for name in names:
            boxes[name] = Box(x, y, width)
            y += rows
        x += width + between
    return boxes, x - between + MARGIN + 60, MARGIN * 2 + HEIGHT * 2 + tallest * rows


def _arrow(source: Box, destination: Box, words: str, number: int) -> tuple[str, str]:
    """The path, and its label with the whole text as a tooltip."""
    ahead = destination.x > source.x
    if ahead:
        x1, x2 = source.x + source.width, destination.x
        y1, y2 = source.middle, destination.middle
        bend = (x2 - x1) / 2
        path = f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
        share = 0.35 + 0.1 * (number % 4)  # labels of a bundle stand apart
        x, y = _bezier((x1, x1 + bend, x2 - bend, x2), share), _bezier((y1, y1, y2, y2), share)
    else:  # back, or to itself: a loop above
        x1, x2 = source.x + source.width * 0.7, destination.x + destination.width * 0.3
        y1, y2 = source.y, destination.y
        top = min(y1, y2) - 26
        path = f"M{x1:.0f} {y1:.0f}C{x1 + 20:.0f} {top:.0f} {x2 - 20:.0f} {top:.0f} {x2:.0f} {y2:.0f}"
        x, y = (x1 + x2) / 2, _bezier((y1, top, top, y2), 0.5) - 2
    label = (
        f'<text class="l" x="{x:.0f}" y="{y - 3:.0f}" text-anchor="middle">{escape(_cut(words, LABEL))}'
        f"<title>{escape(words)}</title></text>"
    )
    return f'<path class="e" d="{path}" marker-end="url(#a)"/>', label


def _bezier(points: tuple[float, float, float, float], at: float) -> float:
    a, b, c, d = points
    rest = 1 - at
    return a * rest**3 + 3 * b * rest * rest * at + 3 * c * rest * at * at + d * at**3


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
