"""`tsujiban verdict`: judge a stream of flows against files, one JSON object a flow, in order."""

from __future__ import annotations

import gc
import sys
from functools import partial
from pathlib import Path
from typing import IO, cast

import click
import msgspec

from tsujiban.cli import offline
from tsujiban.cli.answers import Answers, Readable, batches
from tsujiban.cli.errors import Exit, Failure
from tsujiban.policy.bulk import BulkEvaluator
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Post, Request
from tsujiban.policy.offline import End, OfflineWorld, UnknownName
from tsujiban.resources import protocols


class FlowLine(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """One line of the flows file."""

    src: str
    dst: str
    protocol: str | int = "TCP"
    port: int = 0
    source_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    method: str | None = None
    path: str | None = None
    host: str | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    claims: dict[str, object] | None = None
    principal: str | None = None  # authenticated SPIFFE ID; "" is plaintext
    sni: str = ""


@click.command()
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Policies: a file, a folder, or - for standard input.",
)
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
@click.option("-R", "--recursive", is_flag=True, help="Also the folders inside the folders of -f.")
@click.option("--trust-domain", default="cluster.local", show_default=True, help="Trust domain of the mesh.")
@click.option(
    "--strict",
    is_flag=True,
    help="Refuse plaintext where no PeerAuthentication accepts it, as the running mesh does.",
)
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
    objects = offline.load(files, endpoints, recursive=recursive)
    world = OfflineWorld(objects, trust_domain=trust_domain, strict=strict)
    judge = (
        BulkEvaluator(world.world) if post == Post.BOTH else partial(evaluate, world.world, post=Post(post))
    )
    out = sys.stdout.buffer
    line_of = Answers().line
    asker = _Asker(world)
    gc.freeze()  # what is loaded stays; collecting it again and again would cost more than judging
    number = 0
    for lines in batches(cast("Readable", flows)):
        told: list[bytes] = []
        for line in lines:
            number += 1
            if not line or line.isspace():
                continue
            try:
                told.append(line_of(judge(asker.flow(line))))
            except (msgspec.DecodeError, UnknownName, ValueError) as error:
                out.write(b"".join(told))
                out.flush()
                raise Failure(f"{flows.name}:{number}: {error}", code=Exit.USAGE) from error
        out.write(b"".join(told))
        out.flush()


_DECODE = msgspec.json.Decoder(FlowLine).decode
MAX_NAMES = 1 << 17
"""Most names whose ends are kept."""


class _Asker:
    """Turns lines into flows; names are looked up once."""

    def __init__(self, world: OfflineWorld) -> None:
        self._world = world
        self._ends: dict[str, End] = {}

    def flow(self, line: bytes) -> Flow:
        asked = _DECODE(line)
        ends = self._ends
        source = ends.get(asked.src) or self._end(asked.src)
        return flow_of(self._world, asked, source, ends.get(asked.dst) or self._end(asked.dst))

    def _end(self, name: str) -> End:
        if len(self._ends) >= MAX_NAMES:
            self._ends.clear()
        found = self._ends[name] = self._world.end(name)
        return found


def flow_of(world: OfflineWorld, asked: FlowLine, source: End, destination: End) -> Flow:
    """The flow that a line asks about. Raises ValueError."""
    protocol = protocols.number(asked.protocol)
    if protocol is None:
        raise ValueError(f"unknown protocol {asked.protocol!r}")
    if not 0 <= asked.port <= 65535:
        raise ValueError(f"port {asked.port} is not from 0 to 65535")
    http = None
    given = (asked.method, asked.path, asked.host, asked.claims)
    if asked.headers or any(value is not None for value in given):
        http = Request(
            method=asked.method or "GET",
            path=asked.path or "/",
            host=asked.host or "",
            headers={name.lower(): value for name, value in asked.headers.items()},
            claims=asked.claims,
        )
    return world.flow(
        source,
        destination,
        protocol=protocol,
        port=asked.port,
        source_port=asked.source_port,
        icmp_type=asked.icmp_type,
        icmp_code=asked.icmp_code,
        peer=asked.principal,
        sni=asked.sni,
        http=http,
    )
