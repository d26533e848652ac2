"""`tsujiban connectivity`: every connection that a folder of manifests allows, exactly."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.options import (
    files_option,
    form_option,
    recursive_option,
    strict_option,
    trust_domain_option,
)


@click.command()
@files_option("Manifests: a file, a folder, or - for standard input.")
@recursive_option
@click.option(
    "--focus",
    multiple=True,
    metavar="WORKLOAD",
    help="Only the connections of this workload; may be repeated.",
)
@click.option(
    "--exposure",
    is_flag=True,
    help="Say of each workload what the entire cluster and the outside may reach.",
)
@trust_domain_option
@strict_option
@form_option("txt", "json", "csv", "md", "dot", "svg")
def connectivity(
    files: tuple[Path, ...],
    recursive: bool,
    focus: tuple[str, ...],
    exposure: bool,
    trust_domain: str,
    strict: bool,
    form: str,
) -> None:
    """Print the exact set of connections that manifests allow: who, to whom, with what."""
    from tsujiban.cli import offline
    from tsujiban.policy.connectivity import analyse
    from tsujiban.policy.offline import UnknownName

    if exposure and form in ("dot", "svg"):
        raise Failure(f"--exposure has no picture; leave out -o {form}", code=Exit.USAGE)
    objects = offline.load(files, recursive=recursive)
    try:
        told = analyse(objects, focus=focus, exposure=exposure, trust_domain=trust_domain, strict=strict)
    except (UnknownName, ValueError) as error:
        raise Failure(str(error.args[0] if error.args else error), code=Exit.USAGE) from error
    if form == "json":
        import msgspec

        text = msgspec.json.format(msgspec.json.encode(told)).decode() + "\n"
    else:
        from tsujiban.policy.connectivity_forms import FORMS

        text = FORMS[form](told)
    sys.stdout.write(text)
