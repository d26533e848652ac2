"""`tsujiban connectivity`: every connection that a folder of manifests allows, exactly."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tsujiban.cli.errors import Exit, Failure


@click.command()
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Manifests: a file, a folder, or - for standard input.",
)
@click.option("-R", "--recursive", is_flag=True, help="Also the folders inside the folders of -f.")
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
@click.option("--trust-domain", default="cluster.local", show_default=True, help="Trust domain of the mesh.")
@click.option(
    "--strict",
    is_flag=True,
    help="Refuse plaintext where no PeerAuthentication accepts it, as the running mesh does.",
)
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["txt", "json", "csv", "md", "dot", "svg"]),
    default="txt",
    show_default=True,
    help="Form of the output.",
)
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
