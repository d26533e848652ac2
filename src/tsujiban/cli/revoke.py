"""`tsujiban revoke`: certificates that nobody must take any more."""

from __future__ import annotations

import math
import time
from typing import Any

import click

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option, connect

NOT_FOUND = 404


@click.command()
@click.argument("what", nargs=-1, metavar="[SPIFFE-ID | serial:HEX | node/NAME]...")
@click.option("--undo", is_flag=True, help="Take them from the list again.")
@click.option("--reason", default="", help="Written beside them in the list.")
@cluster_option
def revoke(what: tuple[str, ...], undo: bool, reason: str, cluster: str) -> None:
    """Refuse certificates before they expire; without arguments, show which.

    A SPIFFE ID refuses whoever proves it, with any certificate, and has nothing signed for it, until it is
    taken from the list; a serial number (`openssl x509 -noout -serial`) refuses one certificate. A node
    (node/NAME) loses all certificates that it has until now, and its connections; it can join again with a
    new join file. The list is ConfigMap kube-system/tsujiban-revoked.
    """
    from tsujiban.cli.session import kind_of
    from tsujiban.local.client import ApiError
    from tsujiban.resources.revoked import FIELD, NAME, NAMESPACE

    wanted = asked(what, time.time(), undo=undo)
    kind = kind_of("configmap")
    with connect(cluster) as client:
        try:
            found = client.get(kind, NAMESPACE, NAME)
        except ApiError as error:
            if error.http != NOT_FOUND:
                raise
            found = {}
        text = str((found.get("data") or {}).get(FIELD, ""))
        if not wanted:
            click.echo(text, nl=False)
            if not text:
                click.echo("Nothing is revoked.", err=True)
            return
        changed = changed_list(text, wanted, undo=undo, reason=reason)
        metadata: dict[str, Any] = {"name": NAME, "namespace": NAMESPACE}
        if found:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {FIELD: changed}}
        client.apply([config])
    for one in wanted:
        click.echo(f"{one} {'is taken again' if undo else 'revoked'}")


def asked(what: tuple[str, ...], now: float, *, undo: bool) -> list[str]:
    """The entries that are meant. Raises Failure for what is none."""
    from tsujiban.resources import revoked

    wanted = []
    try:
        for one in what:
            if not revoked.is_node(one):
                wanted.append(revoked.entry(one))
            else:  # times are whole seconds: what was issued in this one is meant too
                wanted.append(one if undo else revoked.node_entry(one, math.floor(now) + 1))
    except ValueError as error:
        hint = "Write spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT, serial:1f00ab, or node/NAME."
        raise Failure(str(error), hint=hint, code=Exit.USAGE) from error
    return wanted


def changed_list(text: str, wanted: list[str], *, undo: bool, reason: str) -> str:
    """The list with these entries, or without them; what else is in it stays as it is."""
    from tsujiban.resources import revoked

    about = {revoked.subject(one) for one in wanted}

    def stays(line: str) -> bool:
        try:
            return revoked.subject(revoked.entry(line.partition("#")[0])) not in about
        except ValueError:
            return True

    lines = [line for line in text.splitlines() if stays(line)]
    note = f"  # {' '.join(reason.split())}" if reason.strip() else ""
    if not undo:
        lines += [one + note for one in dict.fromkeys(wanted)]
    return "".join(f"{line}\n" for line in lines)
