"""`tsujiban logs POD`: a container's log, or its sidecar's, through the API."""

from __future__ import annotations

import re
import sys

import click

from tsujiban.cli.complete import containers, pods
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option, connect, find_pod, namespace_option
from tsujiban.wire.sessions import SIDECAR

_UNITS = {"s": 1, "m": 60, "h": 3600}


@click.command()
@click.argument("pod", shell_complete=pods)
@namespace_option
@click.option(
    "-c",
    "--container",
    default="",
    help="Which container; `sidecar` is the pod's Envoy.",
    shell_complete=containers,
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until the container ends.")
@click.option("-p", "--previous", is_flag=True, help="Of the container before it was last restarted.")
@click.option("--since", default="", help="Only what is newer, e.g. 5s, 2m, 3h.")
@click.option("--tail", type=click.IntRange(min=0), help="Only the last lines.")
@click.option("--timestamps", is_flag=True, help="With the time before every line.")
@cluster_option
def logs(
    pod: str,
    namespace: str,
    container: str,
    follow: bool,
    previous: bool,
    since: str,
    tail: int | None,
    timestamps: bool,
    cluster: str,
) -> None:
    """Show a log, e.g. `tsujiban logs deployment/summary`, `tsujiban logs web-1 -c sidecar -f`."""
    parameters = {"sinceSeconds": str(seconds(since))} if since else {}
    flags = {"follow": follow, "previous": previous, "timestamps": timestamps}
    parameters |= {name: "true" for name, given in flags.items() if given}
    if tail is not None:
        parameters["tailLines"] = str(tail)
    with connect(cluster) as client:
        found = find_pod(client, namespace, pod)
        parameters["container"] = choose_container(found, container, extra=(SIDECAR,))
        for data in client.log(namespace, found["metadata"]["name"], parameters):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def seconds(text: str) -> int:
    """`90s`, `5m`, `1h30m`, `10`. Raises Failure."""
    if not re.fullmatch(r"(\d+[smh])+|\d+", text):
        raise Failure(
            f"--since: {text!r} is no duration", hint="Write for example 30s, 5m or 1h.", code=Exit.USAGE
        )
    if text.isdigit():
        return int(text)
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smh])", text))


def choose_container(pod: dict[str, object], wanted: str, extra: tuple[str, ...] = ()) -> str:
    """The container meant: the named one, or the pod's first. Raises Failure when there is none."""
    from tsujiban.controller.api.cells import dig, items

    names = [str(entry.get("name")) for entry in items(pod, "spec.containers")]
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
