"""`tsujiban kubeconfig`: how kubectl, and every other client of the Kubernetes API, reaches the cluster."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option, connect


@click.command()
@cluster_option
@click.option(
    "--files", is_flag=True, help="Name the files of certificate and key; else they are in the text."
)
@click.option("--server", default="", help="The API's address as the reader reaches it, https://HOST:PORT.")
@click.option("--merge", is_flag=True, help="Write it into KUBECONFIG's first file, or ~/.kube/config.")
@click.option("--no-switch", is_flag=True, help="With --merge: the current context stays what it is.")
def kubeconfig(cluster: str, files: bool, server: str, merge: bool, no_switch: bool) -> None:
    """Print a kubeconfig, e.g. `tsujiban kubeconfig > ~/.kube/tsujiban`, or `tsujiban kubeconfig --merge`
    and then `kubectl get pods`.

    Who has it is the cluster's administrator: it holds the key (with --files, where the key is).
    """
    import yaml

    from tsujiban.local.kubeconfig import Access, document

    with connect(cluster) as client:
        access = client.access
    if server and not server.startswith("https://"):
        raise Failure(f"--server: {server!r} must begin with https://", code=Exit.USAGE)
    try:
        access = access if files else access.with_content()
    except OSError as error:
        raise Failure(
            f"{error.filename}: {error.strerror}", hint="Run as root, or with sudo.", code=Exit.UNREACHABLE
        ) from error
    if server:
        access = Access(server, access.ca_file, access.certificate_file, access.key_file, access.token)
    made = document(f"tsujiban-{cluster}", access)
    if not merge:
        click.echo(yaml.safe_dump(made, sort_keys=False), nl=False)
        return
    path = target()
    _merge(path, made, switch=not no_switch)
    click.echo(f"context tsujiban-{cluster} is in {path}")


def target() -> Path:
    """Where kubectl would look first."""
    first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(first) if first else Path.home() / ".kube" / "config"


def _merge(path: Path, made: dict[str, object], *, switch: bool) -> None:
    from tsujiban.local.kubeconfig import KubeconfigError, merged, parse, write_document

    try:
        path = path.resolve()  # a link stays one
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        old = parse(path) if path.exists() else None
        write_document(path, merged(old, made, switch=switch))
    except KubeconfigError as error:
        raise Failure(
            f"{path}: {error}", hint="Repair it, or print to another file without --merge.", code=Exit.USAGE
        ) from error
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", code=Exit.USAGE) from error
