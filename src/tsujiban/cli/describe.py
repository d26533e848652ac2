"""`tsujiban describe KIND NAME`: one object for a person: what matters first, then its events."""

from __future__ import annotations

import time
from typing import Any

import click

from tsujiban.cli import columns, output, printers
from tsujiban.cli.ages import age
from tsujiban.cli.complete import targets
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option, connect, kind_of, namespace_option, split_target

Json = dict[str, Any]
HIDDEN = ("tsujiban.io/origin", "kubectl.kubernetes.io/last-applied-configuration")


@click.command()
@click.argument("target", nargs=-1, required=True, metavar="KIND NAME | KIND/NAME", shell_complete=targets)
@namespace_option
@cluster_option
def describe(target: tuple[str, ...], namespace: str, cluster: str) -> None:
    """Show one object in detail, e.g. `tsujiban describe pod web-1`."""
    pairs = split_target(target)
    with connect(cluster) as client:
        for word, name in pairs:
            if not name:
                raise Failure(
                    f"which {word}?",
                    hint="Name the object, e.g. `tsujiban describe pod web-1`.",
                    code=Exit.USAGE,
                )
            kind = kind_of(word)
            obj = client.get(kind, namespace if kind.namespaced else None, name)
            events = client.list(kind_of("events"), obj["metadata"].get("namespace") or "default").get(
                "items", []
            )
            click.echo(text(obj, [event for event in events if concerns(event, obj)], time.time()))


def concerns(event: Json, obj: Json) -> bool:
    """Whether an event is about this object."""
    about = event.get("involvedObject") or event.get("regarding") or {}
    return bool(about.get("kind") == obj["kind"] and about.get("name") == obj["metadata"]["name"])


def text(obj: Json, events: list[Json], now: float) -> str:
    """The description."""
    meta = obj["metadata"]
    annotations = {key: value for key, value in meta.get("annotations", {}).items() if key not in HIDDEN}
    head = [
        ("Name", meta["name"]),
        ("Namespace", meta.get("namespace", "")),
        ("Kind", f"{obj['kind']} ({obj['apiVersion']})"),
        ("Labels", printers.labels(obj)),
        ("Annotations", ", ".join(f"{k}={v}" for k, v in annotations.items())),
        ("Age", age(meta.get("creationTimestamp", ""), now)),
        ("Written in", origin(meta)),
    ]
    lines = [f"{title + ':':<13}{value}" for title, value in head if value]
    for part in ("spec", "data", "status"):
        if obj.get(part):
            lines.append(f"{part.capitalize()}:")
            lines += ["  " + line for line in output.as_yaml(obj[part]).splitlines()]
    if events:
        rows = [
            [
                e.get("type", ""),
                e.get("reason", ""),
                age(e.get("lastTimestamp") or "", now),
                e.get("message", ""),
            ]
            for e in events
        ]
        lines.append("Events:")
        lines += [
            "  " + "".join(row).rstrip() for row in columns.layout(["TYPE", "REASON", "AGE", "MESSAGE"], rows)
        ]
    return "\n".join(lines)


def origin(meta: Json) -> str:
    """File and line that the object was applied from; "" when it is not known."""
    import json

    try:
        found = json.loads(meta.get("annotations", {}).get(HIDDEN[0], "{}"))
        line = found.get("lines", {}).get("", 0)
        return f"{found['file']}:{line}" if line else str(found["file"])
    except (ValueError, KeyError, AttributeError):
        return ""
