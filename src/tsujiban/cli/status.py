"""`tsujiban status`: every component of the cluster, whether it is well, and since when it is not."""

from __future__ import annotations

import time
from typing import Any

import click

from tsujiban.cli import columns, output
from tsujiban.cli.ages import duration
from tsujiban.cli.errors import Exit
from tsujiban.cli.session import cluster_option, connect

TITLES = ["NODE", "COMPONENT", "HEALTH", "VERSION", "CERTIFICATE", "SYNCED", "RESTARTS", "MEMORY", "DETAIL"]


@click.command()
@click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), help="Form of the output.")
@cluster_option
def status(form: str | None, cluster: str) -> None:
    """Show health, version, certificate expiry, last sync, restarts and memory of every component.

    Exits 1 when a component is not healthy.
    """
    with connect(cluster) as client:
        found = client.status()
    if form:
        output.write(found, form)
    else:
        columns.show(TITLES, rows(found, time.time()))
    if not found["healthy"]:
        raise click.exceptions.Exit(int(Exit.NO))


def rows(found: dict[str, Any], now: float) -> list[list[str]]:
    """Cells of the table; `now` in UNIX seconds."""
    table = []
    for component in found["components"]:
        expires, synced = component.get("certificate_expires", 0.0), component.get("last_sync", 0.0)
        table.append(
            [
                component["node"] or "-",
                component["name"],
                "healthy" if component["healthy"] else "unhealthy",
                component.get("version") or "-",
                ("expired" if expires <= now else f"{duration(expires - now)} left") if expires else "-",
                f"{duration(now - synced)} ago" if synced else "-",
                str(component.get("restarts", 0)),
                memory(component),
                component.get("detail", ""),
            ]
        )
    return table


def memory(component: dict[str, Any]) -> str:
    """Resident size, and how much of it is its own, in MB (10^6 bytes)."""
    resident, private = component.get("rss_bytes", 0), component.get("private_bytes", 0)
    if not resident:
        return "-"
    return f"{resident / 1e6:.0f} MB" + (f" ({private / 1e6:.0f} own)" if private else "")
