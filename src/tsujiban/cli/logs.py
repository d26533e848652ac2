"""`tsujiban logs POD`: a container's log, or its sidecar's."""

from __future__ import annotations

import sys

import click

from tsujiban.cli.complete import pods
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option, connect, find_pod, namespace_option

SIDECAR = "sidecar"


@click.command()
@click.argument("pod", shell_complete=pods)
@namespace_option
@click.option("-c", "--container", default="", help="Which container; `sidecar` is the pod's Envoy.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option("--tail", type=click.IntRange(min=0), help="Only the last lines.")
@cluster_option
def logs(pod: str, namespace: str, container: str, follow: bool, tail: int | None, cluster: str) -> None:
    """Show a log, e.g. `tsujiban logs deployment/summary`, `tsujiban logs web-1 -c sidecar -f`."""
    with connect(cluster) as client:
        found = find_pod(client, namespace, pod)
        chosen = choose_container(found, container, extra=(SIDECAR,))
        for text in client.log(found, container=chosen, follow=follow, tail=tail):
            sys.stdout.write(text)
            sys.stdout.flush()


def choose_container(pod: dict[str, object], wanted: str, extra: tuple[str, ...] = ()) -> str:
    """The container meant: the named one, or the pod's first. Raises Failure when there is none."""
    from tsujiban.cli.printers import dig

    names = [str(entry["name"]) for entry in dig(pod, "spec.containers", [])]
    if not wanted:
        return names[0]
    if wanted not in names and wanted not in extra:
        choices = ", ".join([*names, *extra])
        raise Failure(
            f"{dig(pod, 'metadata.name')} has no container {wanted!r}",
            hint=f"It has: {choices}.",
            code=Exit.USAGE,
        )
    return wanted
