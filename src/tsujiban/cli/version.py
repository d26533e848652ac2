"""`tsujiban version`: this program's, and the cluster's."""

from __future__ import annotations

import json

import click

import tsujiban
from tsujiban.cli.session import cluster_option, connect


@click.command()
@click.option("--client", "client_only", is_flag=True, help="Only this program's; asks nobody.")
@click.option("-o", "--output", "form", type=click.Choice(["json"]), help="Form of the output.")
@cluster_option
def version(client_only: bool, form: str | None, cluster: str) -> None:
    """Show versions, e.g. `tsujiban version`, `tsujiban version --client -o json`."""
    found = {"client": tsujiban.__version__}
    if not client_only:
        with connect(cluster) as client:
            found["server"] = client.version()
    if form == "json":
        click.echo(json.dumps(found))
        return
    for side, text in found.items():
        click.echo(f"{side}: {text}")
