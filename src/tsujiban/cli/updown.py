"""`tsujiban up` and `tsujiban down`: a whole cluster on this machine, and nothing of it left."""

from __future__ import annotations

import click

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option


@click.command()
@click.option("--nodes", type=click.IntRange(1, 200), default=2, show_default=True, help="How many nodes.")
@click.option("--trust-domain", default="cluster.local", show_default=True, help="SPIFFE trust domain.")
@cluster_option
def up(nodes: int, trust_domain: str, cluster: str) -> None:
    """Start a cluster whose nodes and pods are network namespaces of this machine. Needs root."""
    from tsujiban.local.preflight import PreflightError
    from tsujiban.local.up import UpError
    from tsujiban.local.up import up as start

    try:
        started = start(cluster, nodes, lambda text: click.echo(f"... {text}", err=True), trust_domain)
    except PreflightError as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    except UpError as error:
        raise Failure(str(error), hint="Nothing of it was left behind.", code=Exit.REFUSED) from error
    count, port = len(started.record.nodes), started.record.api_port
    click.echo(f"cluster {cluster} is up: {count} nodes; API on 127.0.0.1:{port}")
    click.echo(f"kubectl works too: kubectl --kubeconfig {started.layout.kubeconfig} get pods -A")


@click.command()
@click.option("--if-exists", is_flag=True, help="A cluster that does not exist is no error.")
@click.option("--keep-state", is_flag=True, help="Keep its store and its CA for the next `up`.")
@cluster_option
def down(if_exists: bool, keep_state: bool, cluster: str) -> None:
    """Stop a cluster and remove its namespaces, processes and files."""
    from tsujiban.local.down import down as stop

    try:
        existed = stop(cluster, keep_state=keep_state)
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    except PermissionError as error:
        raise Failure(f"{error}", hint="Run as root, or with sudo.", code=Exit.UNREACHABLE) from error
    if existed:
        click.echo(f"cluster {cluster} is down; nothing of it is left")
    elif not if_exists:
        raise Failure(f"there is no cluster {cluster!r} on this machine", code=Exit.NO)
