"""`tsujiban controller`: another controller for a cluster whose objects are in etcd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.options import Duration
from tsujiban.cli.session import cluster_option, connect

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def controller() -> None:
    """Have another machine be a controller of the cluster, too.

    Several controllers share an etcd; one of them leads. See docs/store.md.
    """


@controller.command()
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the token, readable by you only.",
)
@click.option("--withdraw-all", is_flag=True, help="Make no token, but all that wait worthless.")
@click.option(
    "--expires", type=Duration(), default="15m", show_default=True, help="When it ends; 24h at most."
)
@click.option("--server", metavar="URL", help="The API as the new machine reaches it: as you do, by default.")
@cluster_option
def token(file: Path | None, withdraw_all: bool, expires: float, server: str | None, cluster: str) -> None:
    """Make a token with which one machine becomes a controller, once.

    Whoever has the file can be the authority of the cluster: bring it to the new machine over a safe way.
    With --withdraw-all no token that was made before is good any more.
    """
    import msgspec

    from tsujiban.controller.enrolment import Ticket
    from tsujiban.identity.files import write_private

    if withdraw_all == (file is not None):
        raise Failure("give --output FILE, or --withdraw-all", code=Exit.USAGE)
    if file is None:
        with connect(cluster) as client:
            click.echo(f"{client.withdraw_controller_tokens()} tokens withdrawn")
        return
    if server is not None and not server.startswith("https://"):
        raise Failure(f"{server!r} is not an https URL", code=Exit.USAGE)
    with connect(cluster) as client:
        made = client.controller_token(round(expires))
        ticket = Ticket(
            server=server or client.server,
            controller_token=str(made["token"]),
            ca_sha256=str(made["ca_sha256"]),
            expires=float(made["expires"]),
        )
    try:
        write_private(file, msgspec.json.encode(ticket))
    except OSError as error:
        hint = "The token that was made is not kept anywhere; it ends by itself."
        raise Failure(f"cannot write {file}: {error.strerror}", hint=hint, code=Exit.USAGE) from error
    click.echo(f"{file}: good once, for {round(expires)} s; on the new machine:")
    click.echo(
        f"  tsujiban controller join --token-file {file.name} --state-dir /var/lib/tsujiban-controller"
    )


@controller.command()
@click.option(
    "--token-file", "file", required=True, type=_FILE, help="As `tsujiban controller token` made it."
)
@click.option(
    "--state-dir",
    "state",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the new controller keeps its keys; it must not be there yet, or be empty.",
)
@click.option(
    "--server", metavar="URL", help="The API of a controller, if it is not the one that the file names."
)
@click.option(
    "--api-name", "names", multiple=True, help="A name or address of this machine's API; repeatable."
)
@click.option(
    "--node-endpoint",
    "endpoints",
    multiple=True,
    metavar="ADDRESS:PORT",
    help="Where nodes reach this controller, if it is not where it listens; repeatable.",
)
@click.option("--etcd-servers", metavar="URLS", help="Members of the etcd cluster, if others than elsewhere.")
@click.option("--etcd-cafile", type=_FILE, help="Who signs the members' certificates (PEM).")
@click.option("--etcd-certfile", type=_FILE, help="This machine's client certificate for etcd (PEM).")
@click.option("--etcd-keyfile", type=_FILE, help="Its key (PEM), mode 0600.")
def join(
    file: Path,
    state: Path,
    server: str | None,
    names: tuple[str, ...],
    endpoints: tuple[str, ...],
    etcd_servers: str | None,
    etcd_cafile: Path | None,
    etcd_certfile: Path | None,
    etcd_keyfile: Path | None,
) -> None:
    """Make this machine a controller of the cluster that the token is of.

    Fetches the cluster's authority and settings into the state directory, which appears whole or not at all,
    and deletes the token file, which is of no more use.
    """
    import asyncio

    import msgspec

    from tsujiban.controller.enrol import CONFIG, enrol, read_ticket
    from tsujiban.controller.roster import named
    from tsujiban.wire.pinned import ControllerUnreachable, JoinError

    files = {"ca_file": etcd_cafile, "cert_file": etcd_certfile, "key_file": etcd_keyfile}
    etcd: dict[str, Any] = {name: str(path.absolute()) for name, path in files.items() if path is not None}
    if etcd_servers:
        etcd["endpoints"] = [part.strip() for part in etcd_servers.split(",")]
    try:
        named("0" * 32, endpoints)  # before the token is used; whose they are is not known yet
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    own: dict[str, Any] = {"node_endpoints": list(endpoints)}
    if names:
        own["api_names"] = list(names)
    try:
        ticket = read_ticket(file)
        if server is not None:
            ticket = msgspec.structs.replace(ticket, server=server)
        config = asyncio.run(enrol(ticket, state.absolute(), own, etcd))
    except JoinError as error:
        raise Failure(str(error), hint="Nothing was changed on this machine.", code=Exit.REFUSED) from error
    except ControllerUnreachable as error:
        hint = "Nothing was changed on this machine. If the token is refused next time, make a new one."
        raise Failure(f"{ticket.server}: {error}", hint=hint, code=Exit.UNREACHABLE) from error
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        click.echo(f"{file} is of no more use, and cannot be deleted: {error.strerror}", err=True)
    click.echo(f"this machine is a controller of cluster {config.cluster}; what it needs is in {state}")
    click.echo(f"start it: python -m tsujiban.controller --config {state.absolute() / CONFIG}")
