"""`tsujiban logs POD`: a container's log, or its sidecar's, from this machine's files."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from tsujiban.cli.complete import pods
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option, connect, find_pod, namespace_option, open_local

SIDECAR = "sidecar"
POLL_SECONDS = 0.1
CHUNK = 1 << 16


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
    path = open_local(cluster).log_path(namespace, found["metadata"]["name"], chosen)
    try:
        for data in read(path, tail=tail, follow=follow):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", hint="Run as root, or with sudo.") from error


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


def read(path: Path, *, tail: int | None = None, follow: bool = False) -> Iterator[bytes]:
    """A log file's content: all, or its last lines; with `follow`, for ever, over rotations.

    Raises OSError.
    """
    file = path.open("rb")
    try:
        if tail is None:
            yield from _rest(file)
        else:
            yield b"".join(deque(file, maxlen=tail))
        while follow:
            yield from _rest(file)
            if _replaced(path, file):
                file.close()
                file = path.open("rb")
            time.sleep(POLL_SECONDS)
    finally:
        file.close()


def _rest(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(CHUNK):
        yield data


def _replaced(path: Path, file: BinaryIO) -> bool:
    """Whether the name stands for another file now, or for the same one cut short."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    then = os.fstat(file.fileno())
    return (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino) or now.st_size < file.tell()
