"""`tsujiban flows`: what the two posts decided, newest last, each with the id of the rule that did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from tsujiban.cli import columns, output
from tsujiban.cli.complete import endpoints
from tsujiban.cli.session import cluster_option, connect

TITLES = ["TIME", "POST", "VERDICT", "FROM", "TO", "REQUEST", "PEER", "RULE"]
WIDTHS = (12, 6, 7, 21, 21, 28, 44)


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones, until interrupted.")
@click.option("--verdict", type=click.Choice(["allow", "deny"]), help="Only these.")
@click.option("--post", type=click.Choice(["kernel", "proxy"]), help="Only this post's.")
@click.option(
    "--endpoint",
    default="",
    help="Only decisions of this endpoint's rules, e.g. default/web-1.",
    shell_complete=endpoints,
)
@click.option(
    "--rule", default="", help="Only this rule's decisions, or those of all below it, e.g. default/web."
)
@click.option("--address", default="", help="Only flows from or to this address.")
@click.option("--tail", type=click.IntRange(min=0), default=50, show_default=True, help="How many past ones.")
@click.option("-o", "--output", "form", type=click.Choice(["json"]), help="JSON lines.")
@cluster_option
def flows(
    follow: bool,
    verdict: str | None,
    post: str | None,
    endpoint: str,
    rule: str,
    address: str,
    tail: int,
    form: str | None,
    cluster: str,
) -> None:
    """Show recent decisions, e.g. `tsujiban flows --verdict deny -f`."""
    clauses = {
        "verdict": verdict or "",
        "post": post or "",
        "endpoint": endpoint,
        "rule": rule,
        "address": address,
    }
    wanted = {key: value for key, value in clauses.items() if value}
    with connect(cluster) as client:
        past = list(client.flows(parameters={**wanted, "limit": str(tail)}))
        _show(past, form, titles=True)
        if follow:
            since = str(past[-1]["sequence"]) if past else "0"
            for flow in client.flows(follow=True, parameters={**wanted, "since": since}):
                _show([flow], form, titles=False)


def _show(found: list[dict[str, Any]], form: str | None, *, titles: bool) -> None:
    if form == "json":
        for flow in found:
            click.echo(output.as_json(flow, indent=None))
        return
    table = [row(flow) for flow in found]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, WIDTHS, strict=False)] + line[len(WIDTHS) :]
        for line in table
    ]
    columns.show(
        [t.ljust(w) for t, w in zip(TITLES, WIDTHS, strict=False)] + TITLES[len(WIDTHS) :] if titles else [],
        padded,
    )


def row(flow: dict[str, Any]) -> list[str]:
    """One flow's cells."""
    time = datetime.fromtimestamp(flow["time_ns"] / 1e9).strftime("%H:%M:%S.%f")[
        :-3
    ]  # the reader's own time zone
    request = f"{flow.get('method', '')} {flow.get('path', '')}".strip()
    status = f" {flow['status']}" if flow.get("status") else ""
    return [
        time,
        flow["post"],
        flow["verdict"],
        flow["source"],
        f"{flow['destination']}:{flow['destination_port']}",
        (request + status) or "-",
        flow.get("peer") or "-",
        flow.get("rule") or "-",
    ]
