"""Connectivity as a picture that needs no other program: for each destination, who reaches it, with what.

Every arrow has its own row, so that neither lines nor words ever cross: a drawing of arrows between
all would be prettier for five workloads and unreadable for fifteen.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from tsujiban.policy.connectivity import Connection, Connectivity

CHARACTER = 7.3  # width of one, in pixels, at 12 pixels of monospace
ROW, GAP, MARGIN, PADDING = 34, 18, 20, 12
NAME, WORDS = 44, 90  # most characters of a box and of an arrow; the tooltip has all

STYLE = (
    "text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1c2733}"
    ".w{fill:#eef3f8;stroke:#54708c}.o{fill:#fff7e8;stroke:#b07d2b;stroke-dasharray:4 3}"
    ".e{stroke:#7b8ea1;stroke-width:1.4}"
)


def draw(told: Connectivity) -> str:
    """The picture as SVG: sources left, destinations right, in the order of the answer."""
    outside = {group.name for group in told.groups if not group.workloads}
    by_destination: dict[str, list[Connection]] = {}
    for group in told.groups:
        rows = [c for c in told.connections if c.destination == group.name]
        if rows:
            by_destination[group.name] = rows
    left = _width([c.source for c in told.connections], NAME)
    middle = _width([c.summary for c in told.connections], WORDS) + 40
    right = _width(list(by_destination), NAME)
    parts: list[str] = []
    y = float(MARGIN)
    ends = float(MARGIN) + left + middle
    for destination, rows in by_destination.items():
        tall = len(rows) * ROW - 8
        parts.append(_box(destination, ends, y, right, tall, outside=destination in outside))
        for found in rows:
            parts.append(_box(found.source, MARGIN, y, left, ROW - 8, outside=found.source in outside))
            parts.append(_arrow(found.summary, MARGIN + left, ends, y + (ROW - 8) / 2))
            y += ROW
        y += GAP
    width = ends + right + MARGIN
    height = max(y - GAP + MARGIN - 8, 2.0 * MARGIN + ROW)
    if not parts:
        parts.append(f'<text x="{MARGIN}" y="{MARGIN + PADDING}">nothing is allowed</text>')
        width = 200.0
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">\n'
        f"<title>Allowed connections</title>\n<style>{STYLE}</style>\n"
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#7b8ea1"/></marker></defs>\n'
        '<rect width="100%" height="100%" fill="#fff"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _box(name: str, x: float, y: float, width: float, height: float, *, outside: bool) -> str:
    kind = "o" if outside else "w"
    return (
        f'<g><title>{escape(name)}</title><rect class="{kind}" x="{x:.0f}" y="{y:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" rx="6"/><text x="{x + width / 2:.0f}" '
        f'y="{y + height / 2 + 4:.0f}" text-anchor="middle">{escape(_cut(name, NAME))}</text></g>'
    )


def _arrow(words: str, x1: float, x2: float, y: float) -> str:
    return (
        f'<line class="e" x1="{x1:.0f}" y1="{y:.0f}" x2="{x2 - 1:.0f}" y2="{y:.0f}" marker-end="url(#a)"/>'
        f'<text x="{(x1 + x2) / 2:.0f}" y="{y - 4:.0f}" text-anchor="middle"><title>{escape(words)}</title>'
        f"{escape(_cut(words, WORDS))}</text>"
    )


def _width(texts: list[str], most: int) -> float:
    return max((len(_cut(text, most)) for text in texts), default=0) * CHARACTER + 2 * PADDING


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
