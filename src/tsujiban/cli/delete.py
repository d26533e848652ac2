"""`tsujiban delete`: by kind and name, by labels, all of a kind, or everything that a manifest names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsujiban.cli.complete import targets
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.options import Duration, recursive_option
from tsujiban.cli.output import full_name
from tsujiban.cli.session import cluster_option, connect, kind_of, namespace_option, split_target

if TYPE_CHECKING:
    from tsujiban.local.client import Client
    from tsujiban.resources.registry import Kind

SECONDS = 30.0
PROPAGATION = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}
One = tuple["Kind", str | None, str]


@click.command()
@click.argument("target", nargs=-1, metavar="[KIND NAME... | KIND/NAME...]", shell_complete=targets)
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Delete what these manifests name.",
)
@recursive_option
@namespace_option
@click.option("-A", "--all-namespaces", is_flag=True, help="With --all or -l: in every namespace.")
@click.option("--all", "everything", is_flag=True, help="All objects of the kind.")
@click.option("-l", "--selector", default="", help="All with these labels, e.g. app=web.")
@click.option("--field-selector", default="", help="All with these fields, e.g. status.phase=Failed.")
@click.option("--ignore-not-found", is_flag=True, help="An object that does not exist is no error.")
@click.option(
    "--cascade",
    type=click.Choice(list(PROPAGATION)),
    help="What becomes of what they own: it goes after them, before them, or stays.",
)
@click.option(
    "--grace-period", type=click.IntRange(min=-1), default=-1, help="Seconds that a pod gets to end."
)
@click.option("--now", is_flag=True, help="One second.")
@click.option(
    "--force", is_flag=True, help="With --grace-period 0: do not wait for the node to say that it has ended."
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until they are gone.")
@click.option(
    "--timeout", type=Duration(), default=SECONDS, show_default=True, help="How long to wait at most."
)
@cluster_option
def delete(
    target: tuple[str, ...],
    files: tuple[Path, ...],
    recursive: bool,
    namespace: str,
    all_namespaces: bool,
    everything: bool,
    selector: str,
    field_selector: str,
    ignore_not_found: bool,
    cascade: str | None,
    grace_period: int,
    now: bool,
    force: bool,
    wait: bool,
    timeout: float,
    cluster: str,
) -> None:
    """Delete objects, e.g. `tsujiban delete pod web` or `tsujiban delete -f policy.yaml`."""
    from tsujiban.local.client import ApiError

    if bool(target) == bool(files):
        raise Failure(
            "say what to delete: either KIND NAME or -f FILE",
            hint="Write `tsujiban delete pod web`, `tsujiban delete -f web.yaml`.",
            code=Exit.USAGE,
        )
    options = _options(cascade, 1 if now else grace_period, force=force)
    chosen = everything or bool(selector or field_selector)
    with connect(cluster) as client:
        if files:
            from tsujiban.cli.manifests import named

            wanted = named(files, namespace, recursive=recursive)[::-1]  # what was made last goes first
        elif chosen:
            wanted = _all_of(client, target, None if all_namespaces else namespace, selector, field_selector)
            if not wanted:
                click.echo("No resources found.", err=True)
        else:
            wanted = _from_words(target, namespace)
        gone = "force deleted" if force else "deleted"
        for kind, scope, name in wanted:
            try:
                client.delete(kind, scope, name, options)
            except ApiError as error:
                if error.http == 404 and (ignore_not_found or chosen):
                    continue
                raise
            click.echo(f"{full_name(kind, name)} {gone}")
        if wait and wanted:
            _wait(client, wanted, timeout)


def _options(cascade: str | None, grace: int, *, force: bool) -> dict[str, Any]:
    """DeleteOptions. Raises Failure."""
    if force and grace > 0:
        hint = "Leave --force out, or say --grace-period 0."
        raise Failure("--force and a --grace-period do not go together", hint=hint, code=Exit.USAGE)
    if grace == 0 and not force:
        hint = "Say --force too, if you know that the pod has ended; or --now."
        raise Failure(
            "--grace-period 0 waits for nobody: the pod may go on running", hint=hint, code=Exit.USAGE
        )
    found: dict[str, Any] = {"propagationPolicy": PROPAGATION[cascade]} if cascade else {}
    if force or grace >= 0:
        found["gracePeriodSeconds"] = 0 if force else grace
    return found


def _wait(client: Client, wanted: list[One], seconds: float) -> None:
    from tsujiban.local.waiting import until

    left: list[One] = []

    def gone() -> bool:
        left[:] = [one for one in wanted if client.exists(*one)]
        return not left

    if not until(gone, seconds):
        names = ", ".join(full_name(kind, name) for kind, _, name in left)
        hint = "What holds it back stands in its metadata.finalizers: `tsujiban get KIND NAME -o yaml`."
        raise Failure(f"still there after {seconds:.0f} s: {names}", hint=hint, code=Exit.REFUSED)


def _all_of(
    client: Client, target: tuple[str, ...], namespace: str | None, labels: str, fields: str
) -> list[One]:
    found: list[One] = []
    for word, name in split_target(target):
        if name:
            raise Failure(
                f"a name ({name}) does not go together with --all or a selector",
                hint="Leave one of them out.",
                code=Exit.USAGE,
            )
        kind = kind_of(word)
        scope = namespace if kind.namespaced else None
        for item in client.list(kind, scope, labels=labels, fields=fields).get("items", []):
            meta = item["metadata"]
            found.append((kind, meta.get("namespace") if kind.namespaced else None, str(meta["name"])))
    return found


def _from_words(target: tuple[str, ...], namespace: str) -> list[One]:
    found: list[One] = []
    for word, name in split_target(target):
        if not name:
            hint = f"Name the objects to delete, or say --all or -l: `tsujiban delete {word} --all`."
            raise Failure(f"which {word}?", hint=hint, code=Exit.USAGE)
        kind = kind_of(word)
        found.append((kind, namespace if kind.namespaced else None, name))
    return found
