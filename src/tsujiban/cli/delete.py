"""`tsujiban delete`: by kind and name, or everything that a manifest names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tsujiban.cli.complete import targets
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.output import full_name
from tsujiban.cli.session import cluster_option, connect, kind_of, namespace_option, split_target

if TYPE_CHECKING:
    from tsujiban.resources.registry import Kind

SECONDS = 30.0


@click.command()
@click.argument("target", nargs=-1, metavar="[KIND NAME... | KIND/NAME...]", shell_complete=targets)
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Delete what these manifests name.",
)
@namespace_option
@click.option("--ignore-not-found", is_flag=True, help="An object that does not exist is no error.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until they are gone.")
@cluster_option
def delete(
    target: tuple[str, ...],
    files: tuple[Path, ...],
    namespace: str,
    ignore_not_found: bool,
    wait: bool,
    cluster: str,
) -> None:
    """Delete objects, e.g. `tsujiban delete pod web` or `tsujiban delete -f policy.yaml`."""
    from tsujiban.local.client import ApiError

    if bool(target) == bool(files):
        raise Failure("say what to delete: either KIND NAME or -f FILE", code=Exit.USAGE)
    wanted = _from_files(files, namespace) if files else _from_words(target, namespace)
    with connect(cluster) as client:
        for kind, scope, name in wanted:
            try:
                client.delete(kind, scope, name)
            except ApiError as error:
                if error.http == 404 and ignore_not_found:
                    continue
                raise
            click.echo(f"{full_name(kind, name)} deleted")
        if wait:
            from tsujiban.local.waiting import until

            if not until(lambda: not any(client.exists(*one) for one in wanted), SECONDS):
                raise Failure(f"some objects still exist after {SECONDS:.0f} s", code=Exit.REFUSED)


def _from_words(target: tuple[str, ...], namespace: str) -> list[tuple[Kind, str | None, str]]:
    found = []
    for word, name in split_target(target):
        if not name:
            raise Failure(f"which {word}?", hint="Name the objects to delete.", code=Exit.USAGE)
        kind = kind_of(word)
        found.append((kind, namespace if kind.namespaced else None, name))
    return found


def _from_files(files: tuple[Path, ...], namespace: str) -> list[tuple[Kind, str | None, str]]:
    from tsujiban.cli.manifests import read_all
    from tsujiban.resources.registry import kind_for

    found = []
    for obj in read_all(files, namespace):
        kind = kind_for(obj["apiVersion"], obj["kind"])
        meta = obj["metadata"]
        found.append((kind, meta.get("namespace", namespace) if kind.namespaced else None, meta["name"]))
    return found[::-1]  # what was made last goes first
