"""`tsujiban create token`: a service account's token, for a client that has no certificate."""

from __future__ import annotations

import re

import click

from tsujiban.cli.complete import accounts
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option, connect, namespace_option

_PART = re.compile(r"([0-9]+)(h|m|s)")
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_BOUND = ("Pod", "Secret", "Node")


@click.group()
def create() -> None:
    """Create what is not written in a manifest; for everything else there is `tsujiban apply`.

    All else that `kubectl create` has (namespace, deployment, secret, role and more) is handed to kubectl.
    """


@create.command()
@click.argument("account", shell_complete=accounts)
@namespace_option
@click.option("--audience", "audiences", multiple=True, help="Whom it is for; by default the cluster's API.")
@click.option("--duration", default="", help="How long it is good, e.g. 30m or 12h; 10m to 90 days.")
@click.option("--bound-object-kind", "kind", type=click.Choice(_BOUND), help="What it ends with.")
@click.option("--bound-object-name", "name", default="", help="Name of that object.")
@click.option("--bound-object-uid", "uid", default="", help="Its uid, if it must be that very one.")
@cluster_option
def token(
    account: str,
    namespace: str,
    audiences: tuple[str, ...],
    duration: str,
    kind: str | None,
    name: str,
    uid: str,
    cluster: str,
) -> None:
    """Print a token for a service account, e.g. `tsujiban create token robot --duration 8h`.

    Whoever has it acts as the account until it ends, or until the account is deleted.
    """
    if bool(kind) != bool(name) or (uid and not kind):
        raise Failure("--bound-object-kind and --bound-object-name belong together", code=Exit.USAGE)
    spec: dict[str, object] = {}
    if audiences:
        spec["audiences"] = list(audiences)
    if duration:
        spec["expirationSeconds"] = seconds(duration)
    if kind:
        reference = {"kind": kind, "apiVersion": "v1", "name": name, "uid": uid}
        spec["boundObjectRef"] = {key: value for key, value in reference.items() if value}
    with connect(cluster) as client:
        click.echo(client.token(namespace, account, spec))


def seconds(text: str) -> int:
    """`1h30m` in seconds. Raises Failure."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise Failure(f"{text!r} is not a duration", hint="Write it as 30m, 12h or 1h30m.", code=Exit.USAGE)
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)
