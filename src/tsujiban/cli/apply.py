"""`tsujiban apply -f`: all of the manifests, or none; `--wait` until both posts enforce them everywhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsujiban.cli import findings, output
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.options import Duration
from tsujiban.cli.session import cluster_option, connect, namespace_option

if TYPE_CHECKING:
    from tsujiban.local.client import ApiError
    from tsujiban.resources.load import LoadedObject

Json = dict[str, Any]


@click.command()
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="A manifest, a folder of them, or - for standard input. May be given again.",
)
@click.option("-R", "--recursive", is_flag=True, help="Go into folders of folders.")
@namespace_option
@click.option(
    "--dry-run",
    type=click.Choice(["client", "server", "none"]),
    default="none",
    help="Check only: here, or by the cluster.",
)
@click.option(
    "--wait", is_flag=True, help="Return when policies are enforced and Deployments are available everywhere."
)
@click.option("--timeout", type=Duration(), default=60.0, show_default=True, help="How long to wait at most.")
@click.option(
    "-o", "--output", "form", type=click.Choice(["json", "yaml", "name"]), help="Form of the output."
)
@cluster_option
def apply(
    files: tuple[Path, ...],
    recursive: bool,
    namespace: str,
    dry_run: str,
    wait: bool,
    timeout: float,
    form: str | None,
    cluster: str,
) -> None:
    """Create or change objects, e.g. `tsujiban apply -f policy.yaml --wait`.

    Every error of every file is shown, with its place; when there is one, nothing is changed.
    """
    from tsujiban.cli import manifests
    from tsujiban.local.client import ApiError
    from tsujiban.local.enforced import Timeout, wait_for

    sources = manifests.contents(manifests.expand(files, recursive=recursive))
    loaded = manifests.load(sources)
    objects = [manifests.wire_form(one, namespace) for one in loaded.objects]
    if dry_run == "client":
        click.echo(f"{len(objects)} objects are well formed (checked here only)")
        return
    with connect(cluster) as client:
        started = time.monotonic()
        try:
            answer = client.apply(objects, dry_run=dry_run == "server")
        except ApiError as error:
            raise refused(error, loaded.objects, sources) from error
        if form == "name":
            for result in answer.get("results", []):
                click.echo(_title(result))
        elif form:
            output.write(answer, form)
        else:
            show(answer, dry_run=dry_run == "server")
        if wait and dry_run == "none":
            try:
                waited = wait_for(client, objects, timeout)
            except Timeout as error:
                raise Failure(
                    str(error), hint="`tsujiban status` shows what is not well.", code=Exit.REFUSED
                ) from error
            seconds = time.monotonic() - started
            if waited.policies and not form:
                click.echo(f"enforced on {waited.where} in {seconds * 1000:.0f} ms")
            if waited.workloads and not form:
                click.echo(f"{waited.workloads} workloads available after {seconds:.1f} s")


def show(answer: Json, *, dry_run: bool) -> None:
    """One line an object: what became of it."""
    suffix = " (dry run)" if dry_run else ""
    for result in answer.get("results", []):
        click.echo(f"{_title(result)} {result['action']}{suffix}")


def _title(result: Json) -> str:
    from tsujiban.resources.registry import kind_for

    return output.full_name(kind_for(result["apiVersion"], result["kind"]), result["name"])


def refused(error: ApiError, objects: list[LoadedObject], sources: dict[str, bytes]) -> Failure:
    """The failure for a refusal, after its findings have been shown."""
    import msgspec

    from tsujiban.resources.findings import Finding
    from tsujiban.resources.findings import errors as only_errors

    try:
        found = msgspec.convert((error.status.get("details") or {}).get("findings", []), list[Finding])
    except msgspec.ValidationError:
        found = []
    if not found:
        code = Exit.USAGE if error.http in (400, 422) else Exit.REFUSED
        return Failure(str(error), hint="Nothing was changed.", code=code)
    findings.show(findings.placed(found, objects), sources)
    return findings.refusal(len(only_errors(found)))
