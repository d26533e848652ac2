"""`tsujiban verdict`: judge a stream of flows against files, one JSON object a flow, in order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, cast

import click
import msgspec

from tsujiban.cli import offline
from tsujiban.cli.answers import FastAnswers, PlainAnswers, Readable, batches
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.flowline import FlowLine
from tsujiban.cli.options import files_option, recursive_option, strict_option, trust_domain_option
from tsujiban.policy.flow import Post
from tsujiban.policy.offline import OfflineWorld, UnknownName


@click.command()
@files_option("Policies: a file, a folder, or - for standard input.")
@click.option(
    "--endpoints",
    "endpoints",
    multiple=True,
    type=click.Path(path_type=Path),
    help="What there is (namespaces, nodes, pods). Then only policies are taken from -f.",
)
@click.option(
    "--flows",
    "flows",
    required=True,
    type=click.File("rb"),
    help="Flows, one JSON object a line; - for standard input.",
)
@recursive_option
@trust_domain_option
@strict_option
@click.option(
    "--post",
    type=click.Choice([str(post) for post in Post]),
    default="both",
    show_default=True,
    help="What one enforcement post alone says.",
)
def verdict(
    files: tuple[Path, ...],
    endpoints: tuple[Path, ...],
    flows: IO[bytes],
    recursive: bool,
    trust_domain: str,
    strict: bool,
    post: str,
) -> None:
    """Say for every flow whether it is allowed, and by which rules."""
    with offline.uncollected():
        objects = offline.load(files, endpoints, recursive=recursive)
        world = OfflineWorld(objects, trust_domain=trust_domain, strict=strict)
    answers = FastAnswers(world.world, world.end) if post == Post.BOTH else PlainAnswers(world, Post(post))
    decode = msgspec.json.Decoder(FlowLine).decode
    out = sys.stdout.buffer
    number = 0
    for lines in batches(cast("Readable", flows)):
        told: list[bytes] = []
        for line in lines:
            number += 1
            if not line or line.isspace():
                continue
            try:
                told.append(answers.line(decode(line)))
            except (msgspec.DecodeError, UnknownName, ValueError) as error:
                out.write(b"".join(told))
                out.flush()
                raise Failure(f"{flows.name}:{number}: {error}", code=Exit.USAGE) from error
        out.write(b"".join(told))
        out.flush()
