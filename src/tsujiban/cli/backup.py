"""`tsujiban backup` and `tsujiban restore`: the cluster's objects in a file, and back."""

from __future__ import annotations

from pathlib import Path

import click

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option


def _say(text: str) -> None:
    click.echo(f"... {text}", err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--with-keys", is_flag=True, help="Save the keys of the CA, too: whoever has the file is the cluster."
)
@cluster_option
def backup(file: Path, with_keys: bool, cluster: str) -> None:
    """Save the cluster's objects to FILE, while it goes on working.

    The file holds Secrets: it is readable by its owner only, keep it so.
    """
    from tsujiban.local.backup import BackupError, back_up

    try:
        about = back_up(cluster, file, _say, keys=with_keys)
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    except BackupError as error:
        raise Failure(str(error), code=Exit.REFUSED) from error
    click.echo(f"{file}: {about.objects} objects of cluster {cluster} at revision {about.revision}")
    if with_keys:
        click.echo("It holds the keys of the CA: whoever reads it can be any workload. Encrypt it.", err=True)
    else:
        click.echo("It holds no keys: keep the CA's elsewhere, or save them with --with-keys.", err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@cluster_option
def restore(file: Path, cluster: str) -> None:
    """Make the objects of a cluster that is down those of a backup.

    The store that was there is kept beside it. The next `tsujiban up` uses the restored one.
    """
    from tsujiban.local.backup import BackupError
    from tsujiban.local.backup import restore as put_back

    try:
        done = put_back(cluster, file, _say)
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    except BackupError as error:
        raise Failure(str(error), code=Exit.REFUSED) from error
    if done.aside is not None:
        click.echo(f"the store of before is {done.aside}", err=True)
    if done.about.keys:
        click.echo(f"keys of the CA: {'restored' if done.keys else 'those that are here stay'}", err=True)
    click.echo(f"cluster {cluster} has the {done.about.objects} objects of {file}; start it: tsujiban up")
