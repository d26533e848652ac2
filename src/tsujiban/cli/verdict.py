"""`tsujiban verdict`: judge a stream of flows against files, one JSON object a flow, in order."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import click
import msgspec

from tsujiban.cli import offline
from tsujiban.cli.errors import Exit, Failure
from tsujiban.policy.bulk import BulkEvaluator
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Post, Request, Verdict
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


class LayerLine(msgspec.Struct, rename="camel", omit_defaults=True):
    """One layer of an answer."""

    layer: str
    endpoint: str
    verdict: str
    rule: str = ""
    post: str = ""


class VerdictLine(msgspec.Struct, rename="camel"):
    """One line of the answer."""

    verdict: str
    decided_by: tuple[str, ...]
    layers: list[LayerLine]


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
    encode = msgspec.json.Encoder().encode
    gc.freeze()  # what is loaded stays; collecting it again and again would cost more than judging
    for number, line in _lines(flows):
        try:
            answer = _judge(world, judge, line)
        except (msgspec.DecodeError, UnknownName, ValueError) as error:
            raise Failure(f"{flows.name}:{number}: {error}", code=Exit.USAGE) from error
        out.write(encode(answer))
        out.write(b"\n")
        out.flush()


def _lines(flows: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(flows, 1):
        if not line.isspace():
            yield number, line


_DECODE = msgspec.json.Decoder(FlowLine).decode


def _judge(world: OfflineWorld, judge: Callable[[Flow], Verdict], line: bytes) -> VerdictLine:
    asked = _DECODE(line)
    flow = flow_of(world, asked, world.end(asked.src), world.end(asked.dst))
    return render(judge(flow))


def flow_of(world: OfflineWorld, asked: FlowLine, source: End, destination: End) -> Flow:
    """The flow that a line asks about. Raises ValueError."""
    protocol = protocols.number(asked.protocol)
    if protocol is None:
        raise ValueError(f"unknown protocol {asked.protocol!r}")
    if not 0 <= asked.port <= 65535:
        raise ValueError(f"port {asked.port} is not from 0 to 65535")
    http = None
    if asked.method is not None or asked.path is not None or asked.host is not None or asked.headers:
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


def render(judged: Verdict) -> VerdictLine:
    """The answer as it is written."""
    return VerdictLine(
        verdict=str(judged.verdict),
        decided_by=judged.decided_by,
        layers=[
            LayerLine(
                layer=layer.layer,
                endpoint=layer.endpoint,
                verdict=str(layer.verdict),
                rule=layer.rule,
                post=str(layer.post),
            )
            for layer in judged.layers
        ],
    )
