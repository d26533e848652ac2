"""`tsujiban describe KIND [NAME]`: objects for a person: what matters first, then its events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from tsujiban.cli import columns, output, printers
from tsujiban.cli.ages import age
from tsujiban.cli.complete import targets
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option, connect, kind_of, namespace_option, split_target

if TYPE_CHECKING:
    from tsujiban.local.client import Client
    from tsujiban.resources.registry import Kind

Json = dict[str, Any]
HIDDEN = ("tsujiban.io/origin", "kubectl.kubernetes.io/last-applied-configuration")


@click.command()
@click.argument(
    "target", nargs=-1, required=True, metavar="KIND [NAME...] | KIND/NAME...", shell_complete=targets
)
@namespace_option
@click.option("-A", "--all-namespaces", is_flag=True, help="Look in every namespace.")
@click.option("-l", "--selector", default="", help="Only objects with these labels, e.g. app=web.")
@cluster_option
def describe(
    target: tuple[str, ...], namespace: str, all_namespaces: bool, selector: str, cluster: str
) -> None:
    """Show objects in detail, e.g. `tsujiban describe pod web-1`, `tsujiban describe pods -l app=web`.

    The beginning of a name is enough: `tsujiban describe pod web`.
    """
    pairs = [(kind_of(word), name) for word, name in split_target(target)]
    if any(name for _, name in pairs) and (selector or all_namespaces):
        given = "-l" if selector else "-A"
        raise Failure(
            f"a name and {given} do not go together", hint="Leave one of them out.", code=Exit.USAGE
        )
    with connect(cluster) as client:
        found: list[Json] = []
        for kind, name in pairs:
            scope = namespace if kind.namespaced and not all_namespaces else None
            if name:
                found += _named(client, kind, scope, name)
            else:
                found += client.list(kind, scope, labels=selector).get("items", [])
        if not found:
            inside = "" if all_namespaces else f" in {namespace} namespace"
            click.echo(f"No resources found{inside}.", err=True)
        events: dict[str, list[Json]] = {}
        for number, obj in enumerate(found):
            place = obj["metadata"].get("namespace") or "default"
            if place not in events:
                events[place] = client.list(kind_of("events"), place).get("items", [])
            about = [event for event in events[place] if concerns(event, obj)]
            click.echo(("\n\n" if number else "") + text(obj, about, time.time()))


def _named(client: Client, kind: Kind, namespace: str | None, name: str) -> list[Json]:
    """The object of that name, or all whose names begin so. Raises ApiError (404)."""
    from tsujiban.local.client import ApiError

    try:
        return [client.get(kind, namespace, name)]
    except ApiError as error:
        if error.http != 404:
            raise
        items: list[Json] = client.list(kind, namespace).get("items", [])
        found = [item for item in items if str(item["metadata"]["name"]).startswith(name)]
        if not found:
            raise
        return found


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
        ("Labels", printers.labels(obj) if meta.get("labels") else ""),
        ("Annotations", ", ".join(f"{k}={v}" for k, v in annotations.items())),
        ("Age", age(meta.get("creationTimestamp", ""), now)),
        ("Written in", origin(meta)),
    ]
    lines = [f"{title + ':':<13}{columns.plain(value)}" for title, value in head if value]
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
