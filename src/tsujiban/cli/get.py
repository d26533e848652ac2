"""`tsujiban get KIND [NAME]`: objects as a table, JSON, YAML or names; `-w` goes on with what changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tsujiban.cli import columns, output, printers
from tsujiban.cli.complete import targets
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.options import files_option, recursive_option
from tsujiban.cli.session import cluster_option, connect, kind_of, namespace_option, split_target

if TYPE_CHECKING:
    from tsujiban.local.client import Client
    from tsujiban.resources.registry import Kind

Json = dict[str, Any]


class Wanted(NamedTuple):
    """Objects of one kind: one by its name, or all ("")."""

    kind: Kind
    namespace: str | None  # None: everywhere
    name: str = ""


class Selectors(NamedTuple):
    """Which of all objects are meant."""

    labels: str
    fields: str


class Look(NamedTuple):
    """How they are shown."""

    form: str | None
    with_namespace: bool
    label_columns: tuple[str, ...]
    show_labels: bool
    show_kind: bool
    no_headers: bool
    events: bool


@click.command()
@click.argument("target", nargs=-1, metavar="KIND [NAME...] | KIND/NAME...", shell_complete=targets)
@files_option("The objects that these manifests name.", required=False)
@recursive_option
@namespace_option
@click.option("-A", "--all-namespaces", is_flag=True, help="Look in every namespace.")
@click.option("-l", "--selector", default="", help="Only objects with these labels, e.g. app=web.")
@click.option("--field-selector", default="", help="Only those with these fields, e.g. spec.nodeName=node-1.")
@click.option(
    "-o", "--output", "form", type=click.Choice(["json", "yaml", "wide", "name"]), help="Form of the output."
)
@click.option(
    "--sort-by", default="", metavar="PATH", help="In the order of this field, e.g. .metadata.name."
)
@click.option("-L", "--label-columns", multiple=True, help="A column for this label; may be given again.")
@click.option("--show-labels", is_flag=True, help="All labels in a last column.")
@click.option("--show-kind", is_flag=True, help="The kind before each name.")
@click.option("--no-headers", is_flag=True, help="No titles.")
@click.option("--ignore-not-found", is_flag=True, help="An object that does not exist is no error.")
@click.option(
    "--chunk-size",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    help="Objects asked for at once.",
)
@click.option("-w", "--watch", is_flag=True, help="Go on and show every change, until interrupted.")
@click.option("--watch-only", is_flag=True, help="Only what changes from now on.")
@click.option("--output-watch-events", "events", is_flag=True, help="With -w: what happened to each.")
@cluster_option
def get(
    target: tuple[str, ...],
    files: tuple[Path, ...],
    recursive: bool,
    namespace: str,
    all_namespaces: bool,
    selector: str,
    field_selector: str,
    form: str | None,
    sort_by: str,
    label_columns: tuple[str, ...],
    show_labels: bool,
    show_kind: bool,
    no_headers: bool,
    ignore_not_found: bool,
    chunk_size: int,
    watch: bool,
    watch_only: bool,
    events: bool,
    cluster: str,
) -> None:
    """Show objects, e.g. `tsujiban get pods -A`, `tsujiban get pod/web -o yaml`."""
    if bool(target) == bool(files):
        hint = "Write `tsujiban get pods`, `tsujiban get pod/web` or `tsujiban get -f web.yaml`."
        raise Failure("say what to show: either KIND [NAME] or -f FILE", hint=hint, code=Exit.USAGE)
    wanted = (
        _in_files(files, namespace, recursive=recursive)
        if files
        else _in_words(target, None if all_namespaces else namespace)
    )
    watch = watch or watch_only
    if watch and len(wanted) > 1:
        raise Failure("-w watches one kind", hint="Write `tsujiban get KIND -w`.", code=Exit.USAGE)
    if field_selector and any(one.name for one in wanted):
        hint = "Leave the name or --field-selector out."
        raise Failure("a name is not looked up by its fields", hint=hint, code=Exit.USAGE)
    many = len({one.kind for one in wanted}) > 1
    labels = tuple(label for text in label_columns for label in text.split(","))
    look = Look(form, all_namespaces, labels, show_labels, show_kind or many, no_headers, events and watch)
    selectors = Selectors(selector, field_selector)
    with connect(cluster) as client:
        groups, version = _collect(client, wanted, selectors, chunk_size, missing=ignore_not_found)
        if sort_by:
            groups = {kind: _sorted(objects, sort_by) for kind, objects in groups.items()}
        one = len(wanted) == 1 and bool(wanted[0].name)
        if not watch_only and (not watch or any(groups.values())):
            _show(groups, look, one=one)
        if form in (None, "wide") and not any(groups.values()) and not (watch or ignore_not_found):
            inside = not all_namespaces and any(kind.namespaced for kind in groups)
            click.echo(f"No resources found{f' in {namespace} namespace' if inside else ''}.", err=True)
        if watch:
            _follow(
                client, wanted[0], selectors, version, look, titles=watch_only or not any(groups.values())
            )


def _in_words(target: tuple[str, ...], namespace: str | None) -> list[Wanted]:
    found = []
    for word, name in split_target(target):
        kind = kind_of(word)
        if name and kind.namespaced and namespace is None:
            hint = "Leave -A out."
            raise Failure("a name cannot be looked up in every namespace", hint=hint, code=Exit.USAGE)
        found.append(Wanted(kind, namespace if kind.namespaced else None, name))
    return found


def _in_files(files: tuple[Path, ...], namespace: str, *, recursive: bool) -> list[Wanted]:
    from tsujiban.cli.manifests import named

    return [Wanted(*one) for one in named(files, namespace, recursive=recursive)]


def _collect(
    client: Client, wanted: list[Wanted], selectors: Selectors, chunk: int, *, missing: bool
) -> tuple[dict[Kind, list[Json]], str]:
    from tsujiban.local.client import ApiError

    groups: dict[Kind, list[Json]] = {}
    version = ""
    for kind, scope, name in wanted:
        objects = groups.setdefault(kind, [])
        if name:
            try:
                objects.append(client.get(kind, scope, name))
            except ApiError as error:
                if error.http != 404 or not missing:
                    raise
                continue
            version = str(objects[-1]["metadata"].get("resourceVersion") or "")
        else:
            found = client.list(kind, scope, limit=chunk, labels=selectors.labels, fields=selectors.fields)
            version = found.get("metadata", {}).get("resourceVersion", "")
            objects.extend(found.get("items", []))
    return groups, version


def _sorted(objects: list[Json], path: str) -> list[Json]:
    try:
        return printers.ordered(objects, path)
    except KeyError:
        hint = "Write the field as in a manifest, e.g. --sort-by .metadata.creationTimestamp."
        raise Failure(f"--sort-by: none of the objects has {path}", hint=hint, code=Exit.USAGE) from None


def _follow(
    client: Client, one: Wanted, selectors: Selectors, version: str, look: Look, *, titles: bool
) -> None:
    if one.name:
        selectors = selectors._replace(fields=f"metadata.name={one.name}")
    for event in client.watch(
        one.kind, one.namespace, labels=selectors.labels, fields=selectors.fields, since=version
    ):
        if event["type"] == "ERROR":
            raise Failure(
                f"the watch ended: {event['object'].get('message', 'no reason given')}",
                hint="Start it again.",
                code=Exit.REFUSED,
            )
        _show({one.kind: [event["object"]]}, look, one=True, titles=titles, what=event["type"])
        titles = False


def _show(
    groups: dict[Kind, list[Json]], look: Look, *, one: bool, titles: bool = True, what: str = "ADDED"
) -> None:
    if look.form in ("json", "yaml"):
        items = [_without_managers(obj) for objects in groups.values() for obj in objects]
        if one and not items:
            return
        shown: Json = items[0] if one else {"apiVersion": "v1", "kind": "List", "items": items}
        output.write({"type": what, "object": shown} if look.events else shown, look.form)
        return
    if look.form == "name":
        for kind, objects in groups.items():
            for obj in objects:
                click.echo(output.full_name(kind, obj["metadata"]["name"]))
        return
    for head, rows in _tables(groups, look):
        if look.events:
            head, rows = ["EVENT", *head], [[what, *row] for row in rows]
        columns.show(head if titles and not look.no_headers else [], rows)


def _tables(groups: dict[Kind, list[Json]], look: Look) -> Iterator[tuple[list[str], list[list[str]]]]:
    """A table for each kind of which there is something, an empty line between."""
    for number, (kind, objects) in enumerate((k, o) for k, o in groups.items() if o):
        if number:
            click.echo()
        yield printers.table(
            kind,
            objects,
            wide=look.form == "wide",
            with_namespace=look.with_namespace and kind.namespaced,
            prefix=look.show_kind,
            label_columns=look.label_columns,
            show_labels=look.show_labels,
        )


def _without_managers(obj: Json) -> Json:
    """Who wrote which field is for programs; kubectl leaves it out, too."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": metadata}
