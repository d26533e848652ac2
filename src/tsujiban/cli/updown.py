"""`tsujiban up` and `tsujiban down`: a whole cluster on this machine, and nothing of it left."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import DEFAULT_CLUSTER, cluster_option

if TYPE_CHECKING:
    from tsujiban.store.config import StoreConfig

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--nodes", type=click.IntRange(1, 200), help="How many nodes: as before, or 2.")
@click.option("--trust-domain", metavar="NAME", help="SPIFFE trust domain: as before, or cluster.local.")
@click.option(
    "--store",
    type=click.Choice(["sqlite", "etcd"]),
    help="Where its objects live: in a file of this machine, or in etcd. As before, or sqlite.",
)
@click.option("--etcd-servers", metavar="URLS", help="Members of the etcd cluster, with commas between.")
@click.option("--etcd-cafile", type=_FILE, help="Who signs the members' certificates (PEM).")
@click.option("--etcd-certfile", type=_FILE, help="Our client certificate for etcd (PEM).")
@click.option("--etcd-keyfile", type=_FILE, help="Its key (PEM), mode 0600.")
@cluster_option
def up(
    nodes: int | None,
    trust_domain: str | None,
    store: str | None,
    etcd_servers: str | None,
    etcd_cafile: Path | None,
    etcd_certfile: Path | None,
    etcd_keyfile: Path | None,
    cluster: str,
) -> None:
    """Start a cluster whose nodes and pods are network namespaces of this machine. Needs root.

    After `tsujiban down --keep-state`, or when the machine was started anew, it goes on with what it had.
    """
    from tsujiban.local.preflight import PreflightError
    from tsujiban.local.up import UpError, wait_well
    from tsujiban.local.up import up as start
    from tsujiban.store.protocol import StoreError

    def say(text: str) -> None:
        click.echo(f"... {text}", err=True)

    try:
        where = _store(store, etcd_servers, etcd_cafile, etcd_certfile, etcd_keyfile)
        started = start(cluster, nodes, say, trust_domain, store=where)
    except StoreError as error:
        hint = "Nothing was started. Look at etcd (`etcdctl endpoint health`) and at the --etcd-... options."
        raise Failure(str(error), hint=hint, code=Exit.USAGE) from error
    except PreflightError as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    except UpError as error:
        raise Failure(
            str(error), hint="Nothing runs; what was kept before is untouched.", code=Exit.REFUSED
        ) from error
    say("waiting for every component to be well")
    ailing = wait_well(started)
    count, port = len(started.record.nodes), started.record.api_port
    click.echo(f"cluster {cluster} is up: {count} nodes; API on 127.0.0.1:{port}")
    option = "" if cluster == DEFAULT_CLUSTER else f" --cluster {cluster}"
    click.echo(f"kubectl works too: kubectl --kubeconfig {started.layout.kubeconfig} get pods -A")
    if ailing:
        raise Failure(
            f"it is up, but not well: {ailing}", hint=f"Look at `tsujiban status{option}`.", code=Exit.REFUSED
        )


def _store(
    kind: str | None, servers: str | None, ca: Path | None, certificate: Path | None, key: Path | None
) -> StoreConfig | None:
    """The configuration that the options ask for; wrong files are found now, not by the controller."""
    from tsujiban.store.config import EtcdConfig, SqliteConfig, checked

    if kind != "etcd":
        if servers or ca or certificate or key:
            raise click.UsageError("--etcd-... options need --store etcd")
        return SqliteConfig() if kind else None
    if not servers:
        raise click.UsageError("--store etcd needs --etcd-servers")
    ca_file, cert_file, key_file = (str(path.absolute()) if path else "" for path in (ca, certificate, key))
    endpoints = tuple(part.strip() for part in servers.split(","))
    config = EtcdConfig(endpoints=endpoints, ca_file=ca_file, cert_file=cert_file, key_file=key_file)
    checked(config)
    return config


@click.command()
@click.option("--if-exists", is_flag=True, help="A cluster that does not exist is no error.")
@click.option("--keep-state", is_flag=True, help="Keep its store and its CA for the next `up`.")
@cluster_option
def down(if_exists: bool, keep_state: bool, cluster: str) -> None:
    """Stop a cluster and remove its namespaces, processes and files."""
    from tsujiban.local.down import down as stop
    from tsujiban.local.layout import Layout
    from tsujiban.local.remembered import RememberedError, in_etcd

    etcd = None
    try:
        with contextlib.suppress(RememberedError):  # then it is nothing that could be said
            etcd = in_etcd(Layout(cluster))
        existed = stop(cluster, keep_state=keep_state)
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    except PermissionError as error:
        raise Failure(f"{error}", hint="Run as root, or with sudo.", code=Exit.UNREACHABLE) from error
    if existed and keep_state:
        click.echo(f"cluster {cluster} is down; its store and its CA are kept for the next `tsujiban up`")
    elif existed:
        click.echo(f"cluster {cluster} is down; nothing of it is left")
        if etcd is not None:
            prefix = f"/tsujiban/{cluster}/"
            click.echo(
                f"but its objects in etcd ({', '.join(etcd.endpoints)}), which others may share: "
                f"`etcdctl del --prefix {prefix}` deletes them",
                err=True,
            )
    elif not if_exists:
        raise Failure(f"there is no cluster {cluster!r} on this machine", code=Exit.NO)
