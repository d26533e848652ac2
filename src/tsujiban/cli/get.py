"""`tsujiban get KIND [NAME]`: objects as a table, JSON, YAML or names; `-w` goes on with what changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from tsujiban.cli import columns, output, printers
from tsujiban.cli.complete import targets
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option, connect, kind_of, namespace_option, split_target

if TYPE_CHECKING:
    from tsujiban.local.client import Client
    from tsujiban.resources.registry import Kind

Json = dict[str, Any]


@click.command()
@click.argument(
    "target", nargs=-1, required=True, metavar="KIND [NAME...] | KIND/NAME...", shell_complete=targets
)
@namespace_option
@click.option("-A", "--all-namespaces", is_flag=True, help="Look in every namespace.")
@click.option("-l", "--selector", default="", help="Only objects with these labels, e.g. app=web.")
@click.option(
    "-o", "--output", "form", type=click.Choice(["json", "yaml", "wide", "name"]), help="Form of the output."
)
@click.option("-w", "--watch", is_flag=True, help="Go on and show every change, until interrupted.")
@cluster_option
def get(
    target: tuple[str, ...],
    namespace: str,
    all_namespaces: bool,
    selector: str,
    form: str | None,
    watch: bool,
    cluster: str,
) -> None:
    """Show objects, e.g. `tsujiban get pods -A`, `tsujiban get pod/web -o yaml`."""
    pairs = [(kind_of(word), name) for word, name in split_target(target)]
    if watch and (len(pairs) > 1 or pairs[0][1]):
        raise Failure("-w watches one kind", hint="Write `tsujiban get KIND -w`.", code=Exit.USAGE)
    with connect(cluster) as client:
        groups, version = _collect(client, pairs, None if all_namespaces else namespace, selector)
        _show(groups, pairs, form, all_namespaces)
        if form in (None, "wide") and not any(groups.values()):
            inside = not all_namespaces and any(kind.namespaced for kind in groups)
            click.echo(f"No objects found{f' in namespace {namespace}' if inside else ''}.", err=True)
        if watch:
            kind = pairs[0][0]
            scope = None if all_namespaces else namespace
            for event in client.watch(kind, scope, labels=selector, since=version):
                _show({kind: [event["object"]]}, pairs, form, all_namespaces, titles=False)


def _collect(
    client: Client, pairs: list[tuple[Kind, str]], namespace: str | None, selector: str
) -> tuple[dict[Kind, list[Json]], str]:
    groups: dict[Kind, list[Json]] = {}
    version = ""
    for kind, name in pairs:
        scope = namespace if kind.namespaced else None
        if name:
            if kind.namespaced and namespace is None:
                raise Failure(
                    "a name cannot be looked up in every namespace", hint="Leave -A out.", code=Exit.USAGE
                )
            groups.setdefault(kind, []).append(client.get(kind, scope, name))
        else:
            found = client.list(kind, scope, labels=selector)
            version = found.get("metadata", {}).get("resourceVersion", "")
            groups.setdefault(kind, []).extend(found.get("items", []))
    return groups, version


def _show(
    groups: dict[Kind, list[Json]],
    pairs: list[tuple[Kind, str]],
    form: str | None,
    with_namespace: bool,
    *,
    titles: bool = True,
) -> None:
    if form in ("json", "yaml"):
        items = [obj for objects in groups.values() for obj in objects]
        one = len(items) == 1 and (pairs[0][1] or not titles)
        output.write(items[0] if one else {"apiVersion": "v1", "kind": "List", "items": items}, form)
        return
    if form == "name":
        for kind, objects in groups.items():
            for obj in objects:
                click.echo(output.full_name(kind, obj["metadata"]["name"]))
        return
    now = time.time()
    for number, (kind, objects) in enumerate((k, o) for k, o in groups.items() if o):
        if number:
            click.echo()
        head, rows = printers.table(
            kind,
            objects,
            now,
            wide=form == "wide",
            with_namespace=with_namespace and kind.namespaced,
            prefix=len(groups) > 1,
        )
        columns.show(head if titles else [], rows)
