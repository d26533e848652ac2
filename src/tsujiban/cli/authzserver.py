"""`tsujiban authz-server`: the evaluator as Envoy's external authorization service."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tsujiban import daemon
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option

if TYPE_CHECKING:
    from tsujiban.extauthz.policies import Policies


@click.command("authz-server")
@click.option(
    "--listen",
    required=True,
    metavar="ADDRESS",
    help="unix:/path, or HOST:PORT with --credentials and --client-ca.",
)
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Manifests instead of the running cluster: a file, a folder, or -.",
)
@click.option("-R", "--recursive", is_flag=True, help="Also the folders inside the folders of -f.")
@click.option("--trust-domain", help="With -f: the mesh's trust domain [default: cluster.local].")
@click.option(
    "--credentials", type=click.Path(path_type=Path), help="Own key and certificate chain, one PEM file."
)
@click.option(
    "--client-ca", "client_ca", type=click.Path(path_type=Path), help="Roots of those who may ask (PEM)."
)
@click.option(
    "--socket-mode", default="600", show_default=True, metavar="OCTAL", help="Mode of the Unix socket."
)
@cluster_option
def authz_server(
    listen: str,
    files: tuple[Path, ...],
    recursive: bool,
    trust_domain: str | None,
    credentials: Path | None,
    client_ca: Path | None,
    socket_mode: str,
    cluster: str,
) -> None:
    """Answer whether a request may pass, to proxies that are not this mesh's (envoy.service.auth.v3).

    Who is not understood is refused. Denials are logged, one JSON object a line.
    """
    from tsujiban.extauthz.serving import AddressError, check

    tls = _tls(credentials, client_ca)
    try:
        mode = int(socket_mode, 8)
        check(listen, tls=tls is not None)
    except AddressError as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    except ValueError:
        raise Failure(f"--socket-mode {socket_mode}: write it in octal, e.g. 660", code=Exit.USAGE) from None
    daemon.run(_serve(listen, files, recursive, trust_domain, tls, mode, cluster))


async def _serve(
    listen: str,
    files: tuple[Path, ...],
    recursive: bool,
    trust_domain: str | None,
    tls: ssl.SSLContext | None,
    mode: int,
    cluster: str,
) -> None:
    from tsujiban.extauthz.policies import Policies, keyed
    from tsujiban.extauthz.service import Authorization
    from tsujiban.extauthz.serving import start

    if files:
        from tsujiban.cli import offline

        domain = trust_domain or "cluster.local"
        policies = Policies(domain, offline=True)
        policies.change(keyed(offline.load(files, recursive=recursive)))
    else:
        domain = _domain(cluster)
        policies = Policies(domain)
        await _follow(cluster, policies)
    daemon.log_to_stderr()
    policies.world()
    try:
        server = await start(Authorization(policies.world, domain), listen, tls, mode)
    except OSError as error:
        raise Failure(f"cannot listen on {listen}: {error}", code=Exit.USAGE) from error
    click.echo(f"answering on {listen}", err=True)
    await server.wait_closed()


async def _follow(cluster: str, policies: Policies) -> None:
    """Take everything that there is, then every change as it comes."""
    from tsujiban.cli.session import connect
    from tsujiban.local.following import Change, Follower

    loop = asyncio.get_running_loop()

    def changed(changes: list[Change]) -> None:
        loop.call_soon_threadsafe(policies.change, changes)

    await asyncio.to_thread(Follower(lambda: connect(cluster), changed).start)
    await asyncio.sleep(0)  # what has been told so far has been taken


def _domain(cluster: str) -> str:
    from tsujiban.cli.session import open_local
    from tsujiban.controller import config

    return config.load(open_local(cluster).layout.controller_config).trust_domain


def _tls(credentials: Path | None, client_ca: Path | None) -> ssl.SSLContext | None:
    from tsujiban.identity.tls import TlsError, server_context

    if credentials is None and client_ca is None:
        return None
    if credentials is None or client_ca is None:
        raise Failure("give --credentials and --client-ca together", code=Exit.USAGE)
    try:
        return server_context(credentials, client_ca.read_text())
    except (TlsError, OSError) as error:
        raise Failure(str(error), code=Exit.USAGE) from error
